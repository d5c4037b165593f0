"""Reading what data sets come with, and finding videos in the layouts that are in use."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from data_pipeline.datasets.base import DataSetError, is_present

VIDEO_SUFFIXES = {
    *(".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".wmv", ".flv"),
    *(".mts", ".m2ts", ".3gp", ".ogv"),
}
IMAGE_SUFFIXES = {
    *(".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".gif"),
    *(".avif", ".heic", ".heif", ".jfif", ".jp2"),
}
_VIDEO_LEVELS = ("", "videos")
_FRAME_LEVELS = ("images", "frames")


def read_text(path: Path, hint: str) -> str:
    """A text file's content, its newlines as they are.

    Raises:
      DataSetError: it cannot be read; the message ends with the hint.
    """
    try:
        # What of files' names is no UTF-8 comes back as `os` has it, which wrote it.
        with open(path, encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            return file.read()
    except FileNotFoundError as error:
        raise DataSetError(f"no {path}: {hint}") from error
    except OSError as error:
        raise DataSetError(f"cannot read {path}: {error}") from error


def read_csv(path: Path, hint: str, **options: Any) -> csv.DictReader[str]:
    """The rows of a CSV file, in whose names any character may be, a newline in quotes too.

    Args:
      path, hint: see `read_text`.
      options: of the reader.

    Raises:
      DataSetError: it cannot be read; the message ends with the hint.
    """
    return csv.DictReader(io.StringIO(read_text(path, hint), newline=""), **options)


def read_json(path: Path, hint: str) -> Any:
    """A JSON file's content.

    Raises:
      DataSetError: it cannot be read or is no JSON.
    """
    text = read_text(path, hint)
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataSetError(f"{path} is not valid JSON ({error}): fetch it again") from error


def read_table(path: Path, hint: str) -> dict[str, dict[str, Any]]:
    """A JSON file of the form {name: {field: value}}, as of DFDC.

    Raises:
      DataSetError: it cannot be read or has another form.
    """
    table = read_json(path, hint)
    if not isinstance(table, dict) or not all(isinstance(v, dict) for v in table.values()):
        raise DataSetError(f"{path} is not of the form {{video: {{field: value}}}}")
    return table


def inside(root: Path, name: str, listed_in: Path) -> Path:
    """`root`/`name`.

    Raises:
      DataSetError: that is outside `root`, so the list is not the data set's.
    """
    path = Path(os.path.normpath(root / name))
    if "\0" in name or not path.is_relative_to(os.path.normpath(root)) or path == root:
        raise DataSetError(f"{listed_in} names {name!r}, which is no file below {root}")
    return path


def entries_below(folder: Path) -> Iterator[Path]:
    """What is in a folder and below it, also behind links; none whose name begins with a dot.

    A folder that several links lead to comes once, so that links may go round in circles.

    Raises:
      DataSetError: a folder may not be read.
    """
    seen = set()
    for where, folders, files in os.walk(folder, followlinks=True, onerror=_refuse):
        real = os.path.realpath(where)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders.sort()
        yield from (Path(where, name) for name in (*folders, *files) if not name.startswith("."))


def _refuse(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError | NotADirectoryError):
        raise DataSetError(
            f"cannot read the folder {error.filename} ({error.strerror}): make it readable, or "
            "move it elsewhere"
        ) from error


def first_present(*paths: Path) -> Path:
    """The first path that is there, else the first."""
    return next((path for path in paths if is_present(path)), paths[0])


def located(folder: Path, name: str) -> Path:
    """The `.mp4` of that name in `folder` or its `videos/`, else its extracted frames."""
    return first_present(
        *(folder / level / f"{name}.mp4" for level in _VIDEO_LEVELS),
        *(folder / level / name for level in _FRAME_LEVELS),
    )


def videos_in(folder: Path) -> dict[str, Path]:
    """Name -> path of all videos that `located` would find, in the order of the names."""
    found = {
        path.name: path
        for level in _FRAME_LEVELS
        for path in _entries(folder / level)
        if path.is_dir()
    }
    for level in reversed(_VIDEO_LEVELS):
        found |= {p.stem: p for p in _entries(folder / level) if p.suffix.lower() == ".mp4"}
    return dict(sorted(found.items()))


def _entries(folder: Path) -> list[Path]:
    hidden = (".", "._")  # what macOS leaves beside a copied file is no video
    return [p for p in folder.iterdir() if not p.name.startswith(hidden)] if folder.is_dir() else []


def require_folder(root: Path, *names: str, data_set: str) -> None:
    """Checks that one of the folders is there.

    Raises:
      DataSetError: `root` holds none; the message says what it does hold.
    """
    if any((root / name).is_dir() for name in names):
        return
    if not root.is_dir():
        raise DataSetError(f"--root={root} is no folder; {data_set} has {', '.join(names)} in it")
    held = sorted(path.name for path in root.iterdir())[:8]
    raise DataSetError(
        f"{root} is not laid out as {data_set}: wanted {', '.join(names)}; it holds "
        f"{', '.join(held) or 'nothing'}"
    )
