"""What a field of a dataclass may be, written where the field stands: ``Annotated[int, COUNT]``.

Configs, their check and their reference page are made from these.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any


@dataclasses.dataclass(frozen=True)
class Range:
    """Values that a field may have.

    Attributes:
      holds: value -> whether it may; called with values of the field's type alone.
      text: what it says, after "must be".
    """

    holds: Callable[[Any], bool]
    text: str


def one_of(*values: str) -> Range:
    """Named values, where a `Literal` cannot list them."""
    return Range(lambda v: v in values, "one of " + ", ".join(values))


POSITIVE = Range(lambda v: v > 0, "above 0")
COUNT = Range(lambda v: v >= 1, "at least 1")
NOT_NEGATIVE = Range(lambda v: v >= 0, "at least 0")
FRACTION = Range(lambda v: 0 <= v <= 1, "from 0 to 1")
RATE = Range(lambda v: 0 <= v < 1, "at least 0 and below 1")
DECAY = Range(lambda v: 0 < v <= 1, "above 0, at most 1")
IMAGE_SIZE = Range(lambda v: v >= 32, "at least 32 pixels")
PIXEL_MEAN = Range(lambda v: len(v) == 3, "three numbers, of pixels in [0, 1]")
PIXEL_STD = Range(lambda v: len(v) == 3 and min(v) > 0, "three numbers above 0")


@dataclasses.dataclass(frozen=True)
class Derived:
    """Marks a field that no config sets.

    Attributes:
      source: what does.
    """

    source: str
