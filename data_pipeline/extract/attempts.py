"""Which videos a worker process died on: a note is there while a video is in a worker's hands.

It says how many workers have begun, and the last one's process, or 0 once its run has seen it die.
One that nobody saw die went with its run, and the video is not to blame.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection, Iterator
from pathlib import Path

from data_pipeline.files import atomic_file

LIMIT = 3
_SUFFIX = ".attempts"


def attempts(file: Path) -> int:
    """How often work on the output `file` was begun and never ended."""
    return _read(file.with_suffix(_SUFFIX))[0]


@contextlib.contextmanager
def attempt(file: Path) -> Iterator[None]:
    """Counts an attempt at the output `file`; forgotten again when the block ends by itself."""
    note = file.with_suffix(_SUFFIX)
    _write(note, attempts(file) + 1, os.getpid())
    try:
        yield
    finally:
        note.unlink(missing_ok=True)


def forget_attempts(folder: Path) -> None:
    """For runs that a person interrupts: the videos in hand did no harm."""
    for note in folder.glob(f"*{_SUFFIX}"):
        note.unlink(missing_ok=True)


def settle_attempts(folder: Path, ended: Collection[int] | None = None) -> None:
    """For the end of a run's processes: what those of `ended` had in hand did not kill them.

    Args:
      folder: of the outputs.
      ended: processes that were ended from outside; None for all: a run that was killed had them.
    """
    for note in folder.glob(f"*{_SUFFIX}"):
        count, process = _read(note)
        innocent = process and (ended is None or process in ended)
        if innocent and count == 1:
            note.unlink(missing_ok=True)
        elif process:
            _write(note, count - 1 if innocent else count, 0)


def _read(note: Path) -> tuple[int, int]:
    """Attempts and the last one's process, 0 where it is not known."""
    try:
        count, *process = map(int, note.read_text().split())
    except (OSError, ValueError):
        return 0, 0
    return count, process[0] if process else 0


def _write(note: Path, count: int, process: int) -> None:
    with atomic_file(note) as written:
        written.write(f"{count} {process}")
