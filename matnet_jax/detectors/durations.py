"""Durations in words, ``"5 epochs"``, ``"2000 steps"`` or ``"48000 examples"``, in steps.

Steps of the optimiser are the only unit used elsewhere.
"""

from __future__ import annotations

import math
import re

from matnet_jax.detectors.fields import Range

_DURATION = re.compile(r"^\s*(\d+(?:\.\d*)?|\.\d+)\s*(step|epoch|example)s?\s*$")


def duration_in_steps(duration: str, *, steps_per_epoch: int, batch_size: int) -> int:
    """Turns ``"<number> steps|epochs|examples"`` into a whole number of optimiser steps.

    Args:
      duration: a number and its unit, singular or plural; fractions of an epoch are allowed.
      steps_per_epoch: optimiser steps in one epoch.
      batch_size: examples in one global batch.

    Returns:
      Steps, rounded up, so that a positive duration never becomes zero steps.

    Raises:
      ValueError: if `duration` has not that form.
    """
    match = _DURATION.match(str(duration))
    if match is None:
        raise ValueError(
            f"a duration is a number and a unit, such as '10 epochs', '2000 steps' or "
            f"'48000 examples'; got {duration!r}"
        )
    number, unit = float(match[1]), match[2]
    steps = {
        "step": number,
        "epoch": number * steps_per_epoch,
        "example": number / batch_size,
    }[unit]
    return math.ceil(steps - 1e-9)  # 0.1 epochs of 30 steps is 3 steps, not 4


def is_duration(text: str) -> bool:
    """Whether `duration_in_steps` takes it."""
    return _DURATION.match(text) is not None


def _is_positive(text: str) -> bool:
    return is_duration(text) and duration_in_steps(text, steps_per_epoch=1, batch_size=1) > 0


DURATION = Range(is_duration, "a number and a unit, such as '10 epochs' or '500 steps'")
POSITIVE_DURATION = Range(_is_positive, "above 0, such as '10 epochs' or '500 steps'")
POSITIVE_DURATIONS = Range(
    lambda v: all(map(_is_positive, v)), "each above 0, such as '10 epochs' or '500 steps'"
)
