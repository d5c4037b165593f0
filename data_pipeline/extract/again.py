"""Which videos are extracted again: those whose problem may have passed since it was stored.

A problem is of the file, and stays while the file stays; or of the disk or the memory, and may be
gone the next time.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from data_pipeline.datasets import Video
from data_pipeline.extract.extraction import DamagedError, Extraction, State


def state_of(video: Video, *, masks: bool) -> State | None:
    """What changes with the files that a video is read from; None where they cannot be looked at.

    Args:
      video: its file, or folder of images.
      masks: whether its mask is read too.
    """
    paths = [video.path, *([video.mask] if masks and video.mask else [])]
    try:
        return [_size_and_time(path) for path in paths]
    except OSError:
        return None


def passes(error: BaseException | None) -> bool:
    """Whether an error, or what it came from, is of the disk, the memory or a stored file."""
    while error is not None:
        if isinstance(error, MemoryError | DamagedError):
            return True
        # Pillow raises an OSError without a number for damaged pictures.
        if isinstance(error, OSError) and error.errno is not None:
            return True
        error = error.__cause__
    return False


def forget_passed(
    files: Mapping[Path, Video], boxes: Mapping[Video, Path], *, masks: bool
) -> dict[Path, Extraction]:
    """Deletes what is stored of videos whose problem may have passed, and of those cut by it.

    Args:
      files: of a run, which need not be there.
      boxes: of a video, the file that its boxes came from.
      masks: see `state_of`.

    Returns:
      What is stored of the others, without the crops.

    Raises:
      ValueError: a file is damaged.
    """
    stored = {path: Extraction.load(path, crops=False) for path in files if path.exists()}
    forgotten = {
        path for path, found in stored.items() if _has_passed(found, files[path], masks=masks)
    }
    forgotten |= {path for path, video in files.items() if boxes.get(video) in forgotten}
    for path in forgotten:
        path.unlink(missing_ok=True)
    return {path: found for path, found in stored.items() if path not in forgotten}


def _has_passed(stored: Extraction, video: Video, *, masks: bool) -> bool:
    if not stored.problem:
        return False
    return stored.state is None or stored.state != state_of(video, masks=masks)


def _size_and_time(path: Path) -> list[int]:
    """Bytes and the last change in ns; of a folder those of all files in it."""
    inside = path.rglob("*") if path.is_dir() else ()
    found = [file.stat() for file in (path, *inside) if file == path or file.is_file()]
    return [sum(one.st_size for one in found), max(one.st_mtime_ns for one in found)]
