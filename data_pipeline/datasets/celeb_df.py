"""Celeb-DF, versions 1 and 2, with the official list of test videos."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from data_pipeline.datasets.base import DataSet, DataSetError, Listing, Video
from data_pipeline.datasets.files import inside, located, read_text, require_folder, videos_in
from data_pipeline.datasets.splits import people_split

LIST = "List_of_testing_videos.txt"
SUBSETS = {"Celeb-real": 0, "YouTube-real": 0, "Celeb-synthesis": 1}
_OTHER_SPELLINGS = {"YouTube-real": "Youtube-real"}


@dataclasses.dataclass(frozen=True)
class CelebDF(DataSet):
    """`Celeb-real/`, `YouTube-real/`, `Celeb-synthesis/` and the list of test videos.

    A fake `idA_idB_NNNN` is the footage of `idA_NNNN` with the face of idB. Videos that the list
    does not name are split between train and val by the people in them; a fake whose two people
    are in different splits is left out. A level `videos/` in the three folders is accepted, and
    `frames/` with a folder of images a video.

    Attributes:
      name: of the data set.
      sizes: videos that the release has, by subset.
      val_share: of the people whom no list names, the share in val.
      seed: of the draw.
      apart: also leaves out of train and val what shares people with the official test videos.
    """

    overlap: ClassVar[Mapping[str, str]] = {
        "original": "the official test list names single videos, whose footage others use too",
        "person": "the official test list names single videos, not all those of a person",
    }

    name: ClassVar[str]
    sizes: ClassVar[Mapping[str, int]]

    val_share: float = 0.15
    seed: int = 0
    apart: bool = False

    def list(self, root: Path, *, compression: str, splits: tuple[str, ...]) -> Listing:
        """See `DataSet.list`."""
        require_folder(root, *SUBSETS, data_set="Celeb-DF")
        test = [self._video(root, subset, name, "test") for subset, name in _test_names(root)]
        named = {video.identity for video in test}
        tested = {person for video in test for person in video.people}
        rest, notes, mixed, shared = [], [], 0, 0
        shares = {"train": 1 - self.val_share, "val": self.val_share}
        for subset, size in self.sizes.items():
            found = videos_in(_folder(root, subset))
            if len(found) != size:
                notes.append(f"{subset} holds {len(found)} videos; the release has {size}")
            for name in found:
                video = self._video(root, subset, name, "train")
                if video.identity in named:
                    continue
                split = people_split(video.people, shares, self.seed)
                if self.apart and tested & set(video.people):
                    shared += 1
                elif split is None:
                    mixed += 1
                else:
                    rest.append(dataclasses.replace(video, split=split))
        if mixed:
            notes.append(f"{mixed} fakes are left out: one person is in train, the other in val")
        if shared:
            notes.append(f"{shared} videos are left out of train and val: people of test videos")
        return Listing.of((v for v in (*test, *rest) if v.split in splits), notes)

    def _video(self, root: Path, subset: str, name: str, split: str) -> Video:
        match = re.fullmatch(r"(id\d+)(?:_(id\d+))?_(\w+)", name)
        people: tuple[str, ...]
        if subset == "YouTube-real":
            people, original = (f"YouTube-real/{name}",), name
        elif match and bool(match[2]) == (subset == "Celeb-synthesis"):
            people = tuple(person for person in match.groups()[:2] if person)
            original = f"{match[1]}_{match[3]}"
        else:
            raise DataSetError(
                f"{root / subset}: no name of Celeb-DF's: {name!r}; real ones are like id0_0001, "
                "fakes like id0_id1_0001"
            )
        return Video(
            dataset=self.name,
            subset=subset,
            compression="",
            split=split,
            video_id=name,
            source_id=original,
            label=SUBSETS[subset],
            path=located(_folder(root, subset), name),
            original=original,
            people=people,
        )


class CelebDFv1(CelebDF):
    """Version 1: 158 + 250 real videos, 795 fakes."""

    name = "celeb_df_v1"
    sizes: ClassVar[dict[str, int]] = {
        "Celeb-real": 158,
        "YouTube-real": 250,
        "Celeb-synthesis": 795,
    }


class CelebDFv2(CelebDF):
    """Version 2: 590 + 300 real videos, 5,639 fakes."""

    name = "celeb_df_v2"
    sizes: ClassVar[dict[str, int]] = {
        "Celeb-real": 590,
        "YouTube-real": 300,
        "Celeb-synthesis": 5639,
    }


def _folder(root: Path, subset: str) -> Path:
    """The folder; copies spell one of them in two ways."""
    other = root / _OTHER_SPELLINGS.get(subset, subset)
    return other if other.is_dir() else root / subset


def _test_names(root: Path) -> list[tuple[str, str]]:
    """(subset, name) of the official test videos; in the list, 1 is real."""
    path = root / LIST
    names = []
    for number, line in enumerate(read_text(path, "it comes with Celeb-DF").splitlines(), start=1):
        if not line.strip():
            continue
        match = re.fullmatch(r"([01])\s+(.+?)\.mp4\s*", line)
        subset, name = match[2].split("/", 1) if match and "/" in match[2] else ("", "")
        subset = {v: k for k, v in _OTHER_SPELLINGS.items()}.get(subset, subset)
        if match is None or subset not in SUBSETS or not name:
            raise DataSetError(
                f"{path}, line {number}: {line.strip()[:80]!r} is not like "
                f"'1 YouTube-real/00170.mp4' with one of {', '.join(SUBSETS)}"
            )
        inside(root, match[2], path)
        if int(match[1]) == SUBSETS[subset]:
            raise DataSetError(
                f"{path}, line {number}: {subset} with {match[1]}, but in this list 1 is real and "
                "0 fake; take the list that comes with Celeb-DF"
            )
        names.append((subset, name.removeprefix("videos/")))
    return names
