"""WildDeepfake: face sequences of videos from the internet, with its official split."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from data_pipeline.datasets.base import DataSet, Listing, Video
from data_pipeline.datasets.files import require_folder
from data_pipeline.datasets.splits import drawn_split

_LABELS = {"real": 0, "fake": 1}
_ENDING = ".tar.gz"


@dataclasses.dataclass(frozen=True)
class WildDeepfake(DataSet):
    """`{real,fake}_{train,test}/<n>.tar.gz`, or folders `<n>/` where they are unpacked.

    One archive is one video: folders of face images, one a sequence, named by frame number. Numbers
    begin anew in each folder, so an id is like `train/12`. The data set does not tell who is
    in a video. There is no official validation set.

    Attributes:
      val_share: the share of the training videos that are drawn into val.
      seed: of the draw.
    """

    val_share: float = 0.1
    seed: int = 0

    def list(self, root: Path, *, compression: str, splits: tuple[str, ...]) -> Listing:
        """See `DataSet.list`."""
        folders = [f"{name}_{part}" for name in _LABELS for part in ("train", "test")]
        spaced = [folder.replace("_", " ") for folder in folders]
        require_folder(root, *folders, *spaced, data_set="WildDeepfake")
        shares = {"train": 1 - self.val_share, "val": self.val_share}
        videos = []
        for folder, other in zip(folders, spaced, strict=True):
            subset, part = folder.split("_")
            for number, path in (_entries(root / folder) | _entries(root / other)).items():
                name = f"{part}/{number}"
                split = part
                if part == "train":
                    split = drawn_split(f"wild/{subset}/{name}", shares, self.seed)
                label, original = _LABELS[subset], "" if _LABELS[subset] else name
                source = f"{subset}/{name}"
                videos.append(
                    Video("wilddeepfake", subset, "", split, name, source, label, path, original)
                )
        notes = [f"no {f}" for f, o in zip(folders, spaced, strict=True) if not _any(root, f, o)]
        return Listing.of((v for v in videos if v.split in splits), notes)


def _any(root: Path, *folders: str) -> bool:
    return any((root / folder).is_dir() for folder in folders)


def _entries(folder: Path) -> dict[str, Path]:
    """Number -> archive, or folder where there is one: reading it is faster."""
    if not folder.is_dir():
        return {}
    archives = {p.name.removesuffix(_ENDING): p for p in sorted(folder.glob(f"[!.]*{_ENDING}"))}
    unpacked = {p.name: p for p in sorted(folder.iterdir()) if p.is_dir()}
    return archives | unpacked
