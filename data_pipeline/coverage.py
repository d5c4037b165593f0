"""What a run of `prepare` could not use: failures, videos without a face, absent ones."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from data_pipeline.datasets import Listing, Video
from data_pipeline.files import atomic_file, write_csv, write_json

_COLUMNS = ("dataset", "subset", "compression", "split", "video_id", "label")


def write_failures(path: Path, failures: Sequence[tuple[Video, str]]) -> None:
    """A CSV of videos and what was wrong with them; also those of which a part could be used."""
    rows = ((*_identity(video).values(), problem) for video, problem in failures)
    write_csv(path, (*_COLUMNS, "problem"), rows)


def write_coverage(
    path: Path, listing: Listing, faces: Sequence[int], *, without_mask: Sequence[Video] = ()
) -> None:
    """What evaluation needs to score videos without a face too.

    Args:
      path: a JSON file.
      listing: the data set's.
      faces: crops of each present video.
      without_mask: videos that were left out of `listing`, since the masks asked for are missing.
    """
    without = [_identity(v) for v, n in zip(listing.present, faces, strict=True) if not n]
    coverage: dict[str, Any] = {
        "videos": len(listing.present),
        "missing": len(listing.missing),
        "faces": sum(faces),
        "without_face": without,
    }
    if without_mask:
        coverage["without_mask"] = [_identity(video) for video in without_mask]
    write_json(path, coverage)


def write_missing(path: Path, videos: Sequence[Video]) -> None:
    """The paths of absent videos, one a line."""
    with atomic_file(path, errors="surrogateescape") as file:
        file.writelines(f"{video.path}\n" for video in videos)


def _identity(video: Video) -> dict[str, str | int]:
    return {name: getattr(video, name) for name in _COLUMNS}
