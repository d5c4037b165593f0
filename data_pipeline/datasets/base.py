"""What every data set gives: its videos, those that are there and those that are not."""

from __future__ import annotations

import abc
import dataclasses
import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import ClassVar

SPLITS = ("train", "val", "test")


class DataSetError(ValueError):
    """A data set's folder is not laid out as it should be; the message says what was wanted."""


@dataclasses.dataclass(frozen=True)
class Video:
    """One video or image of a data set.

    Attributes:
      dataset, subset, compression, video_id: its identity; names repeat across subsets.
      split: train, val or test.
      source_id: the person or original that videos share.
      label: 0 real, 1 fake.
      path: a video file, an image, a folder of one video's extracted frames, or a `.tar.gz` of
        one. Frames are in the order of the numbers in their names; a folder within the folder or
        the archive is one sequence of faces of the video, and its name comes before the number.
      original: `video_id` of the real video whose footage this is, a real video's own; "" where
        the data set does not tell.
      people: who is seen or whose face is used, in the data set's own names; () where unknown.
      mask: of a fake in a data set that has them, where its masks belong, which may not be there:
        a video or a folder, white where the frame of the same number is forged.
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
        """A hash of the identity, the split and what is done with the video.

        With the split, since what is stored of a video tells it, which a corrected list may change.
        """
        text = f"{self.identity}\n{self.split}\n{settings}"
        return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:32]


@dataclasses.dataclass(frozen=True)
class Listing:
    """The videos that a data set's own lists name.

    Attributes:
      present, missing: by whether the file, or a folder that is not empty, is there.
      notes: what was left out and why, for people to read.
    """

    present: tuple[Video, ...]
    missing: tuple[Video, ...]
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, videos: Iterable[Video], notes: Iterable[str] = ()) -> Listing:
        """Sorts named videos by whether they are there; one that is named twice counts once."""
        present: list[Video] = []
        missing: list[Video] = []
        for video in sorted(dict.fromkeys(videos), key=lambda v: (v.split, v.identity)):
            (present if is_present(video.path) else missing).append(video)
        return cls(tuple(present), tuple(missing), tuple(notes))

    def counts(self) -> Counter[tuple[str, str, int]]:
        """Present videos by (split, subset, label)."""
        return Counter((v.split, v.subset, v.label) for v in self.present)


class DataSet(abc.ABC):
    """Knows where a data set's files are, their labels and their splits.

    Attributes:
      overlap: what the official test split shares with the rest ("original", "person") -> why.
    """

    overlap: ClassVar[Mapping[str, str]] = {}

    @abc.abstractmethod
    def list(self, root: Path, *, compression: str, splits: tuple[str, ...]) -> Listing:
        """The videos of `splits` below `root`.

        Args:
          root: the data set's folder.
          compression: of FaceForensics++ and what is derived from it; others have one only.
          splits: of "train", "val" and "test".

        Raises:
          DataSetError: `root` is not laid out as the data set is.
        """

    def excuse(self, kind: str, videos: Sequence[Video]) -> str:
        """Why the official split has these videos, which share something, in several splits.

        Args:
          kind: "video", "original" or "person".
          videos: all that share it.

        Returns:
          "" where it should not: always between train and val, of which one is drawn by us.
        """
        splits = {video.split for video in videos}
        return "" if {"train", "val"} <= splits else self.overlap.get(kind, "")


def is_present(path: Path) -> bool:
    """Whether there is a file, or a folder with something in it."""
    return any(path.iterdir()) if path.is_dir() else path.is_file()
