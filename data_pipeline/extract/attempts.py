"""Which videos a worker process died on: a note is there while a video is in a worker's hands."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from data_pipeline.files import atomic_file

LIMIT = 3
_SUFFIX = ".attempts"


def attempts(file: Path) -> int:
    """How often work on the output `file` was begun and never ended."""
    try:
        return int(file.with_suffix(_SUFFIX).read_text() or 1)
    except (OSError, ValueError):
        return 0


@contextlib.contextmanager
def attempt(file: Path) -> Iterator[None]:
    """Counts an attempt at the output `file`; forgotten again when the block ends by itself."""
    note = file.with_suffix(_SUFFIX)
    count = attempts(file) + 1
    with atomic_file(note) as written:
        written.write(str(count))
    try:
        yield
    finally:
        note.unlink(missing_ok=True)


def forget_attempts(folder: Path) -> None:
    """For runs that a person interrupts: the videos in hand did no harm."""
    for note in folder.glob(f"*{_SUFFIX}"):
        note.unlink(missing_ok=True)
