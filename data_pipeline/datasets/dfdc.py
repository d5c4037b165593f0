"""The Deepfake Detection Challenge's training parts and, where it is there, its test set."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from data_pipeline.datasets.base import DataSet, DataSetError, Listing, Video
from data_pipeline.datasets.files import inside, located, read_csv, read_table, videos_in

LAST_PARTS = {"train": 34, "val": 39, "test": 49}
"""The usual split: the last part of each."""
_LABELS = {"REAL": 0, "FAKE": 1}


@dataclasses.dataclass(frozen=True)
class DFDC(DataSet):
    """`dfdc_train_part_<n>/metadata.json` and videos, `labels.csv` of the test set.

    Parts are in `root` or `root/train`, with or without zeros before the number, and the labels of
    the test set in `root` or `root/test`. All fakes of an original go where the original goes. In
    split test, subset "train_parts" are the parts 40-49 and "test" is the official test set.
    """

    def list(self, root: Path, *, compression: str, splits: tuple[str, ...]) -> Listing:
        """See `DataSet.list`."""
        parts = _parts(root)
        labels = next(
            (p for p in (root / "labels.csv", root / "test/labels.csv") if p.exists()), None
        )
        if not parts and labels is None:
            raise DataSetError(
                f"neither folders dfdc_train_part_0 … dfdc_train_part_49 nor labels.csv in {root} "
                "(or its train/ and test/)"
            )
        tables = {number: _metadata(folder) for number, folder in parts}
        videos = list(_train_videos(dict(parts), tables))
        notes = [note for number, folder in parts for note in _unlisted(folder, tables[number])]
        if labels is not None:
            videos += _test_videos(labels)
        return Listing.of((v for v in videos if v.split in splits), notes)


def _parts(root: Path) -> list[tuple[int, Path]]:
    """(number, the folder with its metadata.json), by number."""
    parts: dict[int, Path] = {}
    for folder in sorted([*root.glob("dfdc_train_part_*"), *root.glob("train/dfdc_train_part_*")]):
        match = re.fullmatch(r"dfdc_train_part_(\d+)", folder.name)
        if not match or not folder.is_dir():  # the archives may lie beside the folders
            continue
        number = int(match[1])
        if number > LAST_PARTS["test"]:
            raise DataSetError(f"{folder}: DFDC has parts 0 to {LAST_PARTS['test']}")
        if number in parts:
            raise DataSetError(f"{parts[number]} and {folder} are the same part: remove one")
        nested = sorted(folder.glob("dfdc_train_part_*/metadata.json"))  # as Kaggle's archives have
        parts[number] = nested[0].parent if nested else folder
    return sorted(parts.items())


def _metadata(folder: Path) -> dict[str, dict[str, Any]]:
    path = folder / "metadata.json"
    table = read_table(path, "it comes with each part of DFDC")
    for name, entry in table.items():
        inside(folder, name, path)
        if entry.get("label") not in _LABELS:
            raise DataSetError(
                f"{path}: label of {name} is {entry.get('label')!r}, not REAL or FAKE"
            )
        original = entry.get("original")
        if not isinstance(original, str | None):
            raise DataSetError(f"{path}: original of {name} is {original!r}, not a file's name")
    return table


def _train_videos(
    folders: dict[int, Path], tables: dict[int, dict[str, dict[str, Any]]]
) -> Iterator[Video]:
    home: dict[str, int] = {}  # original -> the part whose split it and its fakes are in
    for number, table in tables.items():
        for name, entry in table.items():
            home.setdefault(entry.get("original") or name, number)
    for number, table in tables.items():
        home.update((name, number) for name, entry in table.items() if entry["label"] == "REAL")
    for number, table in tables.items():
        for name, entry in table.items():
            original = entry.get("original") or name
            known = bool(entry.get("original")) or entry["label"] == "REAL"
            yield Video(
                dataset="dfdc",
                subset="train_parts",
                compression="",
                split=next(s for s, last in LAST_PARTS.items() if home[original] <= last),
                video_id=Path(name).stem,
                source_id=Path(original).stem,
                label=_LABELS[entry["label"]],
                path=located(folders[number], Path(name).stem),
                original=Path(original).stem if known else "",
            )


def _unlisted(folder: Path, table: dict[str, Any]) -> Iterator[str]:
    without = [name for name in videos_in(folder) if f"{name}.mp4" not in table]
    if without:
        shown = ", ".join(without[:3])
        yield (
            f"{len(without)} videos in {folder} are left out, since its metadata.json has no "
            f"entry for them: {shown}{', …' if len(without) > 3 else ''}"
        )


def _test_videos(labels: Path) -> Iterator[Video]:
    folder = labels.parent if labels.parent.name == "test" else labels.parent / "test"
    reader = read_csv(labels, "it comes with DFDC's test set")
    if not {"filename", "label"} <= set(reader.fieldnames or ()):
        held = ", ".join(reader.fieldnames or ["none"])
        raise DataSetError(f"{labels} needs the columns filename and label; it has {held}")
    for line, row in enumerate(reader, start=2):
        if row["label"] not in ("0", "1"):
            raise DataSetError(
                f"{labels}, line {line}: label {row['label']!r} is not 0 or 1 (fake)"
            )
        inside(folder, row["filename"], labels)
        name = Path(row["filename"]).stem
        yield Video(
            "dfdc", "test", "", "test", name, name, int(row["label"]), located(folder, name)
        )
