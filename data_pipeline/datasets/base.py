"""What every data set gives: its videos, those that are there and those that are not."""

from __future__ import annotations

import dataclasses
import hashlib
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

SPLITS = ("train", "val", "test")


class DataSetError(ValueError):
    """A data set's folder is not laid out as it should be; the message says what was wanted."""


@dataclasses.dataclass(frozen=True)
class Video:
    """One video or image of a data set.

    Attributes:
      dataset, subset, compression, video_id: its identity; names repeat across subsets.
      split: train, val or test.
      source_id: the person or original that videos share; no source is in two splits.
      label: 0 real, 1 fake.
      path: a video file, an image, a folder of one video's extracted frames, or a `.tar.gz` of
        one sequence's frames; images are in the order of the numbers in their names.
      original: `video_id` of the real video whose footage this is, a real video's own; "" where
        the data set does not tell.
      people: who is seen or whose face is used, in the data set's own names; () where unknown.
      mask: a video of the forged region, where there is one.
    """

    dataset: str
    subset: str
    compression: str
    split: str
    video_id: str
    source_id: str
    label: int
    path: Path
    original: str = ""
    people: tuple[str, ...] = ()
    mask: Path | None = None

    @property
    def identity(self) -> str:
        """The identity as text."""
        return "/".join((self.dataset, self.subset, self.compression, self.video_id))

    def fingerprint(self, settings: str) -> str:
        """A hash of the identity and of what is done with the video."""
        return hashlib.sha256(f"{self.identity}\n{settings}".encode()).hexdigest()[:32]


@dataclasses.dataclass(frozen=True)
class Listing:
    """The videos that a data set's own lists name."""

    present: tuple[Video, ...]
    missing: tuple[Video, ...]

    @classmethod
    def of(cls, videos: Iterable[Video]) -> Listing:
        """Sorts named videos by whether their file or folder is there."""
        present: list[Video] = []
        missing: list[Video] = []
        for video in sorted(videos, key=lambda v: (v.split, v.identity)):
            (present if video.path.exists() else missing).append(video)
        return cls(tuple(present), tuple(missing))

    def counts(self) -> Counter[tuple[str, str, int]]:
        """Present videos by (split, subset, label)."""
        return Counter((v.split, v.subset, v.label) for v in self.present)


class DataSet(Protocol):
    """Knows where a data set's files are, their labels and their splits."""

    def list(self, root: Path, *, compression: str, splits: tuple[str, ...]) -> Listing:
        """The videos of `splits` below `root`.

        Raises:
          DataSetError: `root` is not laid out as the data set is.
        """
        ...
