"""How much of a machine one file may take: pixels a picture, seconds of decoding."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from data_pipeline.extract.frames import Broken, VideoError

_Item = TypeVar("_Item")


@dataclasses.dataclass(frozen=True)
class Limits:
    """What a file may ask for.

    Attributes:
      max_pixels: of a frame, before it is decoded. A decoded pixel takes 3 bytes, and a few more
        while it is turned; phones take up to 200 million.
      max_seconds: of decoding a file; None for no limit. It is looked at between frames: the
        decoder's work on one is bounded by `max_pixels`.
    """

    max_pixels: int = 200_000_000
    max_seconds: float | None = None

    def check_size(self, width: int, height: int) -> None:
        """Refuses a picture that is too large.

        Raises:
          VideoError: it has more than `max_pixels`.
        """
        if width * height > self.max_pixels:
            raise VideoError(
                f"{width} × {height} pixels are more than the {self.max_pixels:,} allowed "
                "(--max_pixels)"
            )


class Stopwatch:
    """Counts the seconds that a file's decoder works, not those that others take between.

    Args:
      seconds: allowed in all; None for any.
    """

    def __init__(self, seconds: float | None) -> None:
        self._allowed, self._spent = seconds, 0.0

    def over(self, items: Iterable[_Item]) -> Iterator[_Item]:
        """The items, until the time is up.

        Raises:
          Broken: it is.
        """
        iterator = iter(items)
        while True:
            start = time.monotonic()
            try:
                item = next(iterator)
            except StopIteration:
                return
            self._spent += time.monotonic() - start
            if self._allowed is not None and self._spent > self._allowed:
                raise Broken(f"decoding took more than {self._allowed:g} seconds (--max_seconds)")
            yield item
