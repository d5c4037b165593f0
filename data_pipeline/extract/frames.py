"""A frame, and which frames of a video are taken."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np


class VideoError(ValueError):
    """A file that gives no frames; the message says why."""


@dataclasses.dataclass(frozen=True)
class Frame:
    """A decoded frame.

    Attributes:
      number: position in the order of display, from 0.
      timestamp: seconds from the start.
      image: uint8 RGB [H, W, 3], upright.
    """

    number: int
    timestamp: float
    image: np.ndarray


class FrameStream:
    """Frames of a file, read as they are asked for, once.

    Args:
      path: the file, for messages.
      wanted: the frame numbers to come.
      read: gives them, in order; it may end early, or raise `Broken` where the file does.

    Attributes:
      problem: after the last frame: why some are missing, or "".
      error: what the file broke off with, or None.
    """

    def __init__(self, path: Path, wanted: list[int], read: Callable[[], Iterator[Frame]]) -> None:
        self._path, self.wanted, self._read = path, wanted, read
        self.problem = ""
        self.error: Broken | None = None

    def __iter__(self) -> Iterator[Frame]:
        """Raises VideoError where not one frame can be read."""
        count, why = 0, "the stream ends early"
        try:
            for frame in self._read():
                count += 1
                yield frame
        except Broken as error:
            why, self.error = str(error), error
        if not count:
            raise VideoError(f"{self._path}: no frame decodes ({why})") from self.error
        missing = len(self.wanted) - count
        if missing > 0:
            self.problem = f"{missing} of {len(self.wanted)} frames missing: {why}"


class Broken(Exception):
    """A file that cannot be read any further; the message says why."""


Choice = Callable[[Sequence[int]], list[int]]
"""From the numbers of the frames that there are to those that are wanted, which may be more."""


def choose_evenly(count: int) -> Choice:
    """A choice of so many frames at the centres of equal parts."""
    return lambda numbers: [numbers[i] for i in evenly_spread(len(numbers), count)]


def evenly_spread(total: int, count: int) -> list[int]:
    """Frame numbers at the centres of `count` equal parts of a video of `total` frames.

    A video with fewer frames gives each of them once.
    """
    if total <= count:
        return list(range(total))
    return [int((i + 0.5) * total / count) for i in range(count)]
