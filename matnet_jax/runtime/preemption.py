"""Ending in good order when the machine is taken away: SIGTERM, a save, and a status of its own."""

import signal
import threading
from types import FrameType
from typing import Any

import jax

STATUS = 75
"""Exit status of a run that was asked to end and saved (EX_TEMPFAIL: run it again)."""


class Preempted(Exception):
    """The run was asked to end; everything up to the step in the message is saved."""


class Preemption:
    """Listens for SIGTERM while it is entered.

    With several processes JAX listens: they agree on a step after the signal, which is the same in
    all of them, even where only one was told.
    """

    def __init__(self) -> None:
        self._asked = threading.Event()
        self._before: Any = None

    def __enter__(self) -> "Preemption":
        # Python takes signals in its main thread alone; elsewhere the caller handles them.
        if jax.process_count() == 1 and threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGTERM, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        if self._before is not None:
            signal.signal(signal.SIGTERM, self._before)

    def _note(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        self._asked.set()

    def reached(self, step: int) -> bool:
        """Whether to save and end after this step; the same answer in all processes."""
        if jax.process_count() == 1:
            return self._asked.is_set()
        from jax.experimental import multihost_utils

        return multihost_utils.reached_preemption_sync_point(step)
