"""How far a long work is: one bar on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import TypeVar

from tqdm import tqdm

_EVERY = 30.0  # seconds, between plain lines
_Item = TypeVar("_Item")


def progress(items: Sequence[_Item], *, unit: str, about: str) -> Iterator[_Item]:
    """The items, each counted when the next is asked for; see `Progress`."""
    with Progress(len(items), unit=unit, about=about) as shown:
        for item in items:
            yield item
            shown.update()


class Progress:
    """Counts what is done, on standard error; a context manager.

    Args:
      total: of all.
      done: of an earlier run.
      unit: what is counted, in the singular.
      about: what is done with them.
      quiet: says nothing.
    """

    def __init__(
        self, total: int, *, done: int = 0, unit: str, about: str, quiet: bool = False
    ) -> None:
        self._total, self._done, self._unit, self._about = total, done, unit, about
        self._note, self._quiet = "", quiet
        self._bar: tqdm | None = None
        if not quiet and sys.stderr.isatty():
            self._bar = tqdm(total=total, initial=done, unit=unit, desc=about, dynamic_ncols=True)
        self._start = self._said = time.monotonic()
        self._first, self._told = done, -1

    def update(self, count: int = 1) -> None:
        """So many more are done."""
        self._done += count
        if self._bar is not None:
            self._bar.update(count)
        elif time.monotonic() - self._said >= _EVERY:
            self._say()

    def note(self, text: str) -> None:
        """What stands behind the count from now on."""
        self._note = f", {text}" if text else ""
        if self._bar is not None:
            self._bar.set_postfix_str(text, refresh=False)

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends the bar, or says how far it came."""
        if self._bar is not None:
            self._bar.close()
        elif self._told != self._done:
            self._say()

    def _say(self) -> None:
        self._said, self._told = time.monotonic(), self._done
        if self._quiet:
            return
        speed = (self._done - self._first) / max(self._said - self._start, 1e-9)
        print(
            f"{self._about}: {self._done} of {self._total} {self._unit}s, "
            f"{speed:.3g} {self._unit}s/s{self._note}",
            file=sys.stderr,
            flush=True,
        )
