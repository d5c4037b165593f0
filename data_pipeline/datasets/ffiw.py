"""FFIW-10K: faces forged among several in a video, with its official split."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from data_pipeline.datasets.base import SPLITS, DataSet, Listing, Video
from data_pipeline.datasets.files import require_folder, videos_in

_LABELS = {"source": 0, "target": 1}


@dataclasses.dataclass(frozen=True)
class FFIW(DataSet):
    """`{source,target}/{train,val}/*.mp4`; source is real, target fake.

    Only some of the faces of a fake are forged, which the label of a video does not tell. Numbers
    begin anew in each folder, so an id is like `val/00000012`. The release has no test split:
    papers test on val, and `test/` is read where a copy has it.
    """

    def list(self, root: Path, *, compression: str, splits: tuple[str, ...]) -> Listing:
        """See `DataSet.list`."""
        require_folder(root, *_LABELS, data_set="FFIW-10K")
        videos = []
        for subset, label in _LABELS.items():
            for split in (s for s in SPLITS if s in splits):
                for stem, path in videos_in(root / subset / split).items():
                    name = f"{split}/{stem}"
                    source, original = f"{subset}/{name}", "" if label else name
                    videos.append(
                        Video("ffiw", subset, "", split, name, source, label, path, original)
                    )
        notes = [f"no {name}/" for name in _LABELS if not (root / name).is_dir()]
        return Listing.of(videos, notes)
