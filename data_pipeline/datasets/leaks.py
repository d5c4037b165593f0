"""What two splits of a data set share and should not: a video, its footage, or a person."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

from data_pipeline.datasets.base import SPLITS, Video

KINDS = ("video", "original", "person")


@dataclasses.dataclass(frozen=True)
class Leak:
    """One thing that is in several splits.

    Attributes:
      kind: of `KINDS`; a video is the same by its name in its subset, whatever its compression, or
        by its file.
      what: the video, the original or the person.
      splits: in the order of `SPLITS`.
      videos: all that share it.
    """

    kind: str
    what: str
    splits: tuple[str, ...]
    videos: tuple[Video, ...]


def find_leaks(videos: Iterable[Video]) -> list[Leak]:
    """All leaks, those of videos first; unknown originals and people leak nothing."""
    sharing: dict[tuple[int, str], list[Video]] = defaultdict(list)
    for video in videos:
        for key in dict.fromkeys(_keys(video)):
            sharing[key].append(video)
    leaks = []
    for (kind, what), group in sorted(sharing.items()):
        splits = {video.split for video in group}
        if len(splits) > 1:
            ordered = tuple(split for split in SPLITS if split in splits)
            leaks.append(Leak(KINDS[kind], what, ordered, tuple(group)))
    return leaks


def _keys(video: Video) -> Iterator[tuple[int, str]]:
    yield 0, f"{video.dataset}/{video.subset}/{video.video_id}"
    real_path = _resolved(video.path)
    yield 0, real_path
    if video.original:
        yield 1, f"{video.dataset}/{video.original}"
    for person in video.people:
        yield 2, f"{video.dataset}/{person}"


def _resolved(path: Path) -> str:
    """A link and the file it leads to are the same video."""
    try:
        return str(path.resolve())
    except (OSError, RuntimeError):  # a circle of links
        return str(path)
