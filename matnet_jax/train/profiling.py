"""A profiler trace of some steps, for TensorBoard and Perfetto."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path

import jax


class ProfileError(ValueError):
    """The steps to profile are not written as they should be."""


@contextlib.contextmanager
def profiler(steps: str, folder: Path) -> Iterator[Profiler]:
    """Traces steps of a run into `folder`, as ``--profile_steps`` asks.

    Args:
      steps: ``10:15`` for steps 10 to 14, ``""`` for none. The first steps of a run compile.
      folder: gets ``plugins/profile/…``.

    Raises:
      ProfileError: `steps` is written in another way.
    """
    match = re.fullmatch(r"(\d+):(\d+)", steps)
    if steps and (match is None or int(match[1]) >= int(match[2]) or not int(match[1])):
        raise ProfileError(f"profile_steps is like 10:15, for steps 10 to 14; got {steps!r}")
    first, end = (int(match[1]), int(match[2])) if match else (0, 0)
    tracer = Profiler(first, end, folder)
    try:
        yield tracer
    finally:
        tracer.stop()


class Profiler:
    """Starts and stops the trace; see `profiler`."""

    def __init__(self, first: int, end: int, folder: Path) -> None:
        self._first, self._end, self._folder = first, end, folder
        self._tracing = False

    def before(self, step: int) -> None:
        """Is called before each step, counted from 1."""
        if step == self._first:
            jax.profiler.start_trace(str(self._folder))
            self._tracing = True
        elif step == self._end:
            self.stop()

    def stop(self) -> None:
        """Ends a trace under way."""
        if self._tracing:
            jax.effects_barrier()
            jax.profiler.stop_trace()
            self._tracing = False
