"""Extracted videos to records: a TFDS data set that reads without this project's code."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from data_pipeline.datasets import SPLITS
from data_pipeline.extract.extraction import Extraction
from data_pipeline.extract.protocol import CropProtocol, read_crop_protocol, write_crop_protocol
from data_pipeline.training.sources import BUILDING, COLUMNS, INT_COLUMNS, TEXT_COLUMNS

FORMATS = ("array_record", "tfrecord")
VERSION = "1.0.0"
_STAMP = "packed.json"


def pack(
    files: Sequence[Path],
    out: Path,
    *,
    name: str,
    crop_size: int,
    image_format: str = "jpeg",
    file_format: str,
    masks: bool = False,
    num_dense: int = 0,
    protocol: CropProtocol | None = None,
) -> Path | None:
    """Builds the records of all crops in `files`, split by split.

    Args:
      files: what `extract` wrote.
      out: the build is `<out>/<name>/1.0.0`, made beside it and moved there when it is whole.
      name: of the TFDS data set.
      crop_size: pixels of the crops.
      image_format: of the crops, "jpeg" or "png".
      file_format: "array_record" (read by index) or "tfrecord" (for `tfds.load`).
      masks: whether each crop has one, which becomes the feature `mask`, a PNG.
      num_dense: dense landmarks of each crop, which become the feature `landmarks_dense`.
      protocol: how the faces were cut; written beside the records, also of a build that is there
        already and has none.

    Returns:
      The build's folder; None when there is not one face to pack.

    Raises:
      ValueError: an unknown format, or a damaged file.
    """
    if file_format not in FORMATS:
        raise ValueError(f"unknown format '{file_format}'; available: {', '.join(FORMATS)}")
    target = out / name / VERSION
    stamp = _stamp(files, file_format)
    if _read_stamp(target) == stamp and not _changed_since(target, files):
        if protocol is not None and read_crop_protocol(target) is None:
            write_crop_protocol(target, protocol)
        return target
    by_split: dict[str, list[Path]] = {}
    for path in files:
        extraction = Extraction.load(path, crops=False)
        if len(extraction):
            by_split.setdefault(extraction.meta["split"], []).append(path)
    if not by_split:
        return None
    building = out / f"{BUILDING}{name}"
    shutil.rmtree(building, ignore_errors=True)
    _write(
        building,
        name,
        by_split,
        _pictures(crop_size, image_format, masks=masks),
        file_format,
        num_dense=num_dense,
    )
    built = building / name / VERSION
    if protocol is not None:
        write_crop_protocol(built, protocol)
    (built / _STAMP).write_text(json.dumps({"stamp": stamp}))
    shutil.rmtree(target, ignore_errors=True)
    target.parent.mkdir(parents=True, exist_ok=True)
    built.rename(target)
    shutil.rmtree(building, ignore_errors=True)
    return target


def held_splits(out: Path, name: str) -> list[str]:
    """The splits of the build that is there, which `pack` replaces as a whole; see there."""
    target = out / name / VERSION
    return [split for split in SPLITS if (target / _columns_file(split)).exists()]


def _columns_file(split: str) -> str:
    return f"columns-{split}.npz"


def _pictures(size: int, image_format: str, *, masks: bool) -> dict[str, dict[str, Any]]:
    """The features that are images, by name."""
    crop = {"image": {"shape": (size, size, 3), "encoding_format": image_format}}
    mask = {"mask": {"shape": (size, size, 1), "encoding_format": "png"}}
    return {**crop, **(mask if masks else {})}


def _write(
    building: Path,
    name: str,
    by_split: dict[str, list[Path]],
    images: dict[str, dict[str, Any]],
    file_format: str,
    *,
    num_dense: int,
) -> None:
    import tensorflow_datasets as tfds

    tfds.disable_progress_bar()
    dense: dict[str, Any] = {}
    if num_dense:
        shape = (num_dense, 2)
        dense["landmarks_dense"] = tfds.features.Tensor(shape=shape, dtype=np.float32)
    features = tfds.features.FeaturesDict(
        {
            **{name: tfds.features.Image(**image) for name, image in images.items()},
            **{text: tfds.features.Text() for text in (*TEXT_COLUMNS, "crop_version")},
            **dict.fromkeys(INT_COLUMNS, np.int32),
            "timestamp": np.float32,
            "box": tfds.features.Tensor(shape=(4,), dtype=np.float32),
            "landmarks": tfds.features.Tensor(shape=(5, 2), dtype=np.float32),
            "detector_score": np.float32,
            **dense,
        }
    )
    examples = {split: _Examples(by_split[split]) for split in SPLITS if split in by_split}
    with contextlib.redirect_stdout(io.StringIO()):  # TFDS tells of a download, and there is none
        tfds.dataset_builders.store_as_tfds_dataset(
            name=name,
            version=VERSION,
            features=features,
            split_datasets=examples,
            data_dir=str(building),
            description="Face crops with their video, frame and label; box and landmarks are in "
            "pixels of the frame, dense landmarks in pixels of the crop, a mask is 255 where its "
            "crop is forged.",
            file_format=file_format,
            # In the order of the files, not of hashes: the index below is then known beforehand.
            disable_shuffling=True,
        )
    for split, paths in by_split.items():
        parts = [_columns(Extraction.load(path, crops=False)) for path in paths]
        columns: dict[str, Any] = {k: np.concatenate([part[k] for part in parts]) for k in COLUMNS}
        np.savez(building / name / VERSION / _columns_file(split), **columns)


class _Examples:
    """The (key, example) pairs of some files, read anew each time they are iterated."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = paths

    def __iter__(self) -> Iterator[tuple[int, dict[str, Any]]]:
        key = 0
        for path in self._paths:
            extraction = Extraction.load(path)
            lists = {"mask": extraction.masks, "landmarks_dense": extraction.landmarks_dense}
            held = {name: values for name, values in lists.items() if values is not None}
            for i, (row, crop) in enumerate(zip(_rows(extraction), extraction.crops, strict=True)):
                extras = {name: values[i] for name, values in held.items() if len(values)}
                yield key, {"image": crop, **{k: _encoded(v) for k, v in row.items()}, **extras}
                key += 1


def _rows(extraction: Extraction) -> Iterator[dict[str, Any]]:
    meta = extraction.meta
    for i in range(len(extraction)):
        yield {
            **{name: meta[name] for name in (*TEXT_COLUMNS, "crop_version")},
            "label": meta["label"],
            "frame": int(extraction.frame[i]),
            "face": int(extraction.face[i]),
            "timestamp": float(extraction.timestamp[i]),
            "box": extraction.box[i],
            "landmarks": extraction.landmarks[i],
            "detector_score": float(extraction.score[i]),
        }


def _encoded(value: Any) -> Any:
    """Text as bytes: of a file's name that is no UTF-8, those that it has on the disk."""
    return value.encode("utf-8", "surrogateescape") if isinstance(value, str) else value


def _columns(extraction: Extraction) -> dict[str, np.ndarray]:
    rows = list(_rows(extraction))
    return {name: np.array([row[name] for row in rows]) for name in COLUMNS}


def _stamp(files: Sequence[Path], file_format: str) -> str:
    names = "\n".join(sorted(path.name for path in files))
    return hashlib.sha256(f"{file_format}\n{names}".encode()).hexdigest()


def _changed_since(target: Path, files: Sequence[Path]) -> bool:
    """Whether a file is newer than the build, as one that was deleted and extracted again is."""
    built = (target / _STAMP).stat().st_mtime_ns
    return any(path.stat().st_mtime_ns > built for path in files)


def _read_stamp(target: Path) -> str | None:
    try:
        return json.loads((target / _STAMP).read_text())["stamp"]
    except (OSError, ValueError, KeyError):
        return None
