"""What the options of pairs may be: probabilities, and ranges from a least to a greatest value."""

from __future__ import annotations

import math
from collections.abc import Sequence


def check_probabilities(options: object, names: Sequence[str]) -> None:
    """Refuses what is no probability.

    Args:
      options: has the fields.
      names: of them.

    Raises:
      ValueError: one is not from 0 to 1.
    """
    for name in names:
        value = getattr(options, name)
        if not 0 <= value <= 1:
            raise ValueError(f"{name} {value}: a probability, from 0 to 1")


def check_range(
    name: str, given: Sequence[float], least: float = 0.0, greatest: float = math.inf
) -> None:
    """Refuses a range that is not one, or goes beyond its limits.

    Args:
      name: of the field.
      given: least and greatest value.
      least, greatest: that they may have.

    Raises:
      ValueError: see above.
    """
    if len(given) != 2 or not least <= given[0] <= given[1] <= greatest:
        limits = f"from {least:g}" + (f" to {greatest:g}" if greatest < math.inf else " on")
        raise ValueError(f"{name} {tuple(given)}: least and greatest, in order, {limits}")
