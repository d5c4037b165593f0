"""Which files are scored: those that are named, and all pictures and videos in folders."""

import os
import unicodedata
from collections.abc import Iterable, Iterator
from pathlib import Path

from data_pipeline.datasets.files import IMAGE_SUFFIXES, VIDEO_SUFFIXES
from data_pipeline.extract.kinds import kind_of, why_no_file


class NoInputsError(ValueError):
    """Nothing to score was named."""


def find_inputs(paths: Iterable[str], *, only_media: bool = False) -> dict[str, str]:
    """Files, and all that is in and below folders, each once, in order.

    Args:
      paths: of files and folders.
      only_media: leaves out what in folders is no picture or video, instead of saying why it is.

    Returns:
      Path → why it is left out; "" for what is to be scored.

    Raises:
      NoInputsError: a folder without images and videos, or no paths.
    """
    found: dict[str, str] = {}
    for path in paths:
        if not os.path.isdir(path):
            found[path] = ""
            continue
        inside = dict(_inside(path))
        if all(inside.values()):
            known = ", ".join(sorted(IMAGE_SUFFIXES | VIDEO_SUFFIXES))
            others = f"; of what it holds, such as {_first(inside)}" if inside else ""
            raise NoInputsError(f"{path} holds no images or videos ({known}){others}")
        for file, reason in inside.items():
            if not (reason and only_media):
                found.setdefault(file, reason)
    if not found:
        raise NoInputsError("no inputs: --inputs takes files and folders")
    return found


def shown(path: str) -> str:
    """A path as a terminal may print it: bytes that are no UTF-8 and control characters escaped."""
    return "".join(
        repr(char)[1:-1] if unicodedata.category(char) in ("Cc", "Cs") else char for char in path
    )


def _inside(folder: str) -> Iterator[tuple[str, str]]:
    unreadable: list[str] = []
    walk = os.walk(folder, onerror=lambda error: unreadable.append(str(error.filename)))
    for place, folders, files in walk:
        for name in sorted(folders):
            path = os.path.join(place, name)
            if name.startswith("."):
                yield path, "a hidden folder"
            elif os.path.islink(path):
                yield path, "a link to a folder"
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            path = os.path.join(place, name)
            yield path, _why_left_out(Path(path))
    yield from ((path, "") for path in unreadable)  # its row says why


def _why_left_out(path: Path) -> str:
    if path.name.startswith("."):
        return "a hidden file"
    if reason := why_no_file(path):
        return reason
    try:
        return "" if kind_of(path) else "no picture or video by its first bytes or its ending"
    except OSError:
        return ""  # its row says why


def _first(inside: dict[str, str]) -> str:
    path, reason = next(iter(inside.items()))
    return f"{shown(path)}: {reason}"
