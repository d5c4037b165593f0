"""The preview of the Deepfake Detection Challenge, with its official test set."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path, PurePosixPath
from typing import Any

from data_pipeline.datasets.base import DataSet, DataSetError, Listing, Video
from data_pipeline.datasets.files import first_present, inside, read_table
from data_pipeline.datasets.splits import people_split

_LABELS = {"real": 0, "fake": 1}


@dataclasses.dataclass(frozen=True)
class DFDCPreview(DataSet):
    """`dataset.json`: path below the root -> label, set ("train", "test") and actors.

    There is no official validation set: of the training videos, those whose actors are all drawn
    into val are in val, and those with actors of both are left out.

    Attributes:
      val_share: the share of the training videos' actors that are in val.
      seed: of the draw.
    """

    val_share: float = 0.15
    seed: int = 0

    def list(self, root: Path, *, compression: str, splits: tuple[str, ...]) -> Listing:
        """See `DataSet.list`."""
        path = root / "dataset.json"
        table = read_table(path, "it comes with the DFDC preview; is --root its folder?")
        videos = [self._video(root, path, name, entry) for name, entry in table.items()]
        mixed = sum(v is None for v in videos)
        notes = [f"{mixed} videos are left out: one actor is in train, the other in val"]
        kept = (v for v in videos if v is not None and v.split in splits)
        return Listing.of(kept, notes if mixed else ())

    def _video(self, root: Path, listed_in: Path, name: str, entry: dict[str, Any]) -> Video | None:
        file = inside(root, name, listed_in)
        if entry.get("label") not in _LABELS or entry.get("set") not in ("train", "test"):
            raise DataSetError(
                f"{listed_in}: {name} has label {entry.get('label')!r} and set "
                f"{entry.get('set')!r}; wanted real or fake, train or test"
            )
        video_id = PurePosixPath(name).with_suffix("").as_posix()
        subset = name.split("/")[0]
        people = _people(name, entry)
        split: str | None = "test"
        if entry["set"] == "train":
            shares = {"train": 1 - self.val_share, "val": self.val_share}
            split = people_split(people or (video_id,), shares, self.seed)
        if split is None:
            return None
        label = _LABELS[entry["label"]]
        return Video(
            dataset="dfdc_preview",
            subset=subset,
            compression="",
            split=split,
            video_id=video_id,
            source_id=people[0] if people else video_id,
            label=label,
            path=first_present(file, _frames(root, subset, file)),
            original="" if label else video_id,
            people=people,
        )


def _frames(root: Path, subset: str, file: Path) -> Path:
    """Where a common tool puts the extracted frames of a video."""
    return root / subset / "frames" / file.stem


def _people(name: str, entry: dict[str, Any]) -> tuple[str, ...]:
    """The actors: as the entry tells, else the numbers of the folder the video is in."""
    told = [entry.get("target_id"), entry.get("swapped_id")]
    people = [str(person) for person in told if person not in (None, "")]
    folder = PurePosixPath(name).parent.name
    return tuple(dict.fromkeys(people or re.findall(r"\d+", folder)))
