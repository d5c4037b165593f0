"""A folder of one's own: `real/…` and `fake/…`, or a CSV with path, label, video, split."""

from __future__ import annotations

import csv
import dataclasses
import hashlib
from pathlib import Path

from data_pipeline.datasets.base import SPLITS, DataSetError, Listing, Video

VIDEO_SUFFIXES = {".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".wmv", ".flv"}
IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".webp"}
_LABELS = {"real": 0, "0": 0, "fake": 1, "1": 1}


@dataclasses.dataclass(frozen=True)
class Folder:
    """`<root>/[train|val|test/]{real,fake}/…`, files at any depth, or `<root>` a CSV file.

    Without split folders, a video's split is drawn by a hash of its name: 80 % train, 10 % val,
    10 % test, the same on every machine.
    """

    def list(self, root: Path, *, compression: str, splits: tuple[str, ...]) -> Listing:
        """See `DataSet.list`."""
        videos = _from_csv(root) if root.suffix == ".csv" else _from_folders(root)
        return Listing.of(
            dataclasses.replace(v, compression=compression) for v in videos if v.split in splits
        )


def _from_folders(root: Path) -> list[Video]:
    named: list[str | None] = [s for s in SPLITS if (root / s).is_dir()]
    videos = []
    for split in named or [None]:
        base = root / split if split else root
        for name, label in (("real", 0), ("fake", 1)):
            for path in sorted((base / name).rglob("*")):
                if path.suffix.lower() in VIDEO_SUFFIXES | IMAGE_SUFFIXES:
                    video_id = path.relative_to(base / name).with_suffix("").as_posix()
                    videos.append(_video(path, label, video_id, split or _drawn_split(video_id)))
    if not videos:
        raise DataSetError(
            f"no videos or images in {root}/real and {root}/fake (nor below train/, val/, test/); "
            f"known endings: {', '.join(sorted(VIDEO_SUFFIXES | IMAGE_SUFFIXES))}"
        )
    return videos


def _from_csv(path: Path) -> list[Video]:
    try:
        with open(path, newline="", encoding="utf-8-sig") as lines:
            reader = csv.DictReader(lines)
            columns, rows = reader.fieldnames or [], list(reader)
    except (OSError, UnicodeDecodeError) as error:
        raise DataSetError(f"cannot read {path}: {error}") from error
    if not {"path", "label"} <= set(columns):
        raise DataSetError(
            f"{path} needs the columns path and label (video and split are optional); it has "
            f"{', '.join(columns) or 'none'}"
        )
    videos = []
    for line, row in enumerate(rows, start=2):
        label = _LABELS.get((row["label"] or "").strip().lower())
        if label is None:
            raise DataSetError(
                f"{path}, line {line}: label '{row['label']}' is none of {', '.join(_LABELS)}"
            )
        file = (path.parent / row["path"]).resolve()
        video_id = row.get("video") or Path(row["path"]).with_suffix("").as_posix()
        split = row.get("split") or _drawn_split(video_id)
        if split not in SPLITS:
            raise DataSetError(f"{path}, line {line}: split '{split}' is none of train, val, test")
        videos.append(_video(file, label, video_id, split))
    return videos


def _video(path: Path, label: int, video_id: str, split: str) -> Video:
    subset = "fake" if label else "real"
    return Video("folder", subset, "", split, video_id, video_id, label, path)


def _drawn_split(video_id: str) -> str:
    draw = int.from_bytes(hashlib.sha256(video_id.encode()).digest()[:4], "big") / 2**32
    return "train" if draw < 0.8 else "val" if draw < 0.9 else "test"
