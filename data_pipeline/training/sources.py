"""Where examples come from: read by index, and their metadata as columns.

Columns are one array a field, one row an example: dataset, subset, compression, split, video_id,
source_id (str), frame, face, label (int32; 0 real, 1 fake), timestamp (float32 seconds).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from data_pipeline.extract.crop import MARGIN
from data_pipeline.extract.protocol import CropProtocol, read_crop_protocol
from data_pipeline.training.decode import decode_example
from data_pipeline.training.errors import DataError
from data_pipeline.training.example import FIELDS, Example

TEXT_COLUMNS = ("dataset", "subset", "compression", "split", "video_id", "source_id")
VIDEO_COLUMNS = ("dataset", "subset", "compression", "video_id")
"""Columns that tell one video from another: names repeat across subsets and compressions."""
INT_COLUMNS = ("frame", "face", "label")
COLUMNS = (*TEXT_COLUMNS, *INT_COLUMNS, "timestamp")
BUILDING = ".building-"  # how the folder begins in which `pack` makes records
_REMEDY = (
    "Records hold masks after `python -m data_pipeline.prepare … --masks`, and landmarks and the "
    "face's box unless it was with --detector=none; an ArraySource is given all of them as arrays"
)


class Source(Protocol):
    """Examples that can be read in any order."""

    @property
    def columns(self) -> Mapping[str, np.ndarray]:
        """Metadata, one row an example."""
        ...

    @property
    def fields(self) -> tuple[str, ...]:
        """Those of `FIELDS` that can be read beside image and label."""
        ...

    @property
    def crop_protocol(self) -> CropProtocol | None:
        """How the faces were cut; None where that is not known, or they were drawn."""
        ...

    def __len__(self) -> int: ...

    def __str__(self) -> str:
        """What it is, in a few words, for messages."""
        ...

    def read(self, indices: np.ndarray, fields: Sequence[str] = ()) -> list[Example]:
        """The examples at `indices`.

        Args:
          indices: rows of the columns.
          fields: of `FIELDS`, what to read beside image and label.

        Raises:
          DataError: an example cannot be read, or has no such field.
        """
        ...


def check_fields(source: Source, fields: Sequence[str]) -> None:
    """Refuses fields that a source does not have.

    Args:
      source: is asked for its `fields`.
      fields: that are wanted.

    Raises:
      DataError: one is missing, or is no field at all.
    """
    for field in fields:
        if field not in FIELDS:
            raise DataError(f"no field '{field}' of an example; there are: {', '.join(FIELDS)}")
        if field not in source.fields:
            have = ", ".join(("image", "label", *source.fields))
            raise DataError(f"no {field} in {source}: it holds {have}. {_REMEDY}")


class ArraySource:
    """Examples in memory; needs no TensorFlow.

    Args:
      images: uint8 RGB [N, H, W, 3].
      columns: at least `label`; text columns that are missing are empty, numbers 0 (`video_id`
        counts the examples, so that each is a video of its own).
      mask: uint8 [N, H, W], 255 where an image is forged.
      landmarks, landmarks_dense: float32 [N, K, 2], x and y in pixels of the image.
      box: float32 [N, 4], x0, y0, x1, y1 of the face's box in pixels of the image.

    Raises:
      DataError: shapes, types or lengths do not fit together.
    """

    crop_protocol = None

    def __init__(
        self,
        images: np.ndarray,
        columns: Mapping[str, np.ndarray],
        *,
        mask: np.ndarray | None = None,
        landmarks: np.ndarray | None = None,
        landmarks_dense: np.ndarray | None = None,
        box: np.ndarray | None = None,
    ) -> None:
        if images.ndim != 4 or images.shape[-1] != 3 or images.dtype != np.uint8:
            raise DataError(
                f"images must be uint8 [N, H, W, 3], not {images.dtype} {list(images.shape)}"
            )
        if "label" not in columns:
            raise DataError(f"columns need 'label'; there are {', '.join(columns) or 'none'}")
        count = len(images)
        for name, column in columns.items():
            if len(column) != count:
                raise DataError(f"column '{name}' has {len(column)} rows for {count} images")
        if mask is not None and (mask.shape != images.shape[:3] or mask.dtype != np.uint8):
            wanted = f"uint8 {list(images.shape[:3])}"
            raise DataError(f"masks must be {wanted}, not {mask.dtype} {list(mask.shape)}")
        for name, points in (("landmarks", landmarks), ("landmarks_dense", landmarks_dense)):
            if points is not None and (
                points.shape != (count, *points.shape[1:2], 2) or points.dtype != np.float32
            ):
                found = f"{points.dtype} {list(points.shape)}"
                raise DataError(f"{name} must be float32 [{count}, K, 2], not {found}")
        if box is not None and (box.shape != (count, 4) or box.dtype != np.float32):
            raise DataError(f"box must be float32 [{count}, 4], not {box.dtype} {list(box.shape)}")
        self._images = images
        extras = {
            "mask": mask,
            "landmarks": landmarks,
            "landmarks_dense": landmarks_dense,
            "box": box,
        }
        self._extras = {name: array for name, array in extras.items() if array is not None}
        self.columns = complete_columns(columns, count)

    @property
    def fields(self) -> tuple[str, ...]:
        """See `Source.fields`."""
        return tuple(self._extras)

    def __len__(self) -> int:
        return len(self._images)

    def __str__(self) -> str:
        return f"an ArraySource of {len(self)} images"

    def read(self, indices: np.ndarray, fields: Sequence[str] = ()) -> list[Example]:
        """See `Source.read`."""
        check_fields(self, fields)
        labels = self.columns["label"]
        return [
            Example(
                self._images[i], int(labels[i]), **{name: self._extras[name][i] for name in fields}
            )
            for i in np.asarray(indices)
        ]


class RecordSource:
    """Face crops in the records that `data_pipeline.prepare` writes, read by index.

    Args:
      directory: a TFDS version directory, or any folder above exactly one.
      split: train, val or test.

    Raises:
      DataError: no build or several below `directory`, no such split, or records that are not
        face crops.
    """

    def __init__(self, directory: str | Path, split: str) -> None:
        try:  # here, not above: it takes seconds to import, and array users need none of it
            import tensorflow as tf
            import tensorflow_datasets as tfds
        except ImportError as error:
            raise DataError(
                f"reading records needs TensorFlow and TFDS ({error}): pip install "
                "'matnet-jax[data]', or use ArraySource"
            ) from error
        tf.config.set_visible_devices([], "GPU")  # the accelerators are JAX's
        self._directory = find_build(directory)
        try:
            builder = tfds.builder_from_directory(str(self._directory))
        except Exception as error:  # TFDS raises whatever its JSON and protobuf readers raise
            raise DataError(f"cannot open the records in {self._directory}: {error}") from error
        if split not in builder.info.splits:
            have = ", ".join(builder.info.splits) or "none"
            raise DataError(f"no split '{split}' in {self._directory}; there are: {have}")
        if "image" not in builder.info.features or "label" not in builder.info.features:
            raise DataError(
                f"the records in {self._directory} are not face crops: their features are "
                f"{', '.join(builder.info.features)}; wanted image, label, video_id, …"
            )
        # TFDS takes three times as long to decode all fields as it takes to find the image's bytes.
        raw = tfds.decode.DeserializeMethod.RAW_BYTES
        self._parse = tf.train.Example.FromString
        try:
            self._records = builder.as_data_source(split=split, deserialize_method=raw)
            count = len(self._records)
        except Exception as error:
            raise DataError(
                f"cannot read split '{split}' of {self._directory}: {error}. Records for training "
                "are ArrayRecord files: build them with --format=array_record, and again if a file "
                "was cut off"
            ) from error
        try:
            self.crop_protocol = read_crop_protocol(self._directory)
        except ValueError as error:
            raise DataError(str(error)) from error
        self.fields = self._fields(builder.info.features)
        stored = self._stored_columns(split, count)
        self.columns = _read_columns(builder, split, count) if stored is None else stored

    def __len__(self) -> int:
        return len(self.columns["label"])

    def __str__(self) -> str:
        return f"the records in {self._directory}"

    def read(self, indices: np.ndarray, fields: Sequence[str] = ()) -> list[Example]:
        """See `Source.read`; landmarks and box are in pixels of the crop, whatever records store.

        Raises:
          DataError: a record that cannot be read or decoded; the message names it. Or the records
            have no such field.
        """
        check_fields(self, fields)
        rows = [int(i) for i in np.asarray(indices)]
        try:
            records = [self._parse(record) for record in self._records.__getitems__(rows)]
        except Exception as error:
            raise DataError(
                f"cannot read records {rows[:5]}… of {self._directory}: {error}; the file is "
                "damaged: build the records again"
            ) from error
        return [self._decode(record, i, fields) for record, i in zip(records, rows, strict=True)]

    def _decode(self, record: Any, row: int, fields: Sequence[str]) -> Example:
        try:
            return decode_example(
                record.features.feature,
                int(self.columns["label"][row]),
                fields,
                margin=MARGIN if self.crop_protocol is None else self.crop_protocol.margin,
            )
        except DataError as error:
            where = {k: self.columns[k][row] for k in ("subset", "video_id", "frame")}
            raise DataError(
                f"record {row} of {self._directory} ({where}): {error}; build the records again"
            ) from error

    def _fields(self, features: Any) -> tuple[str, ...]:
        known = [name for name in ("mask", "landmarks_dense") if name in features]
        aligned = self.crop_protocol is None or self.crop_protocol.alignment != "none"
        if aligned and {"box", "landmarks", "crop_version"} <= set(features):
            known += ["landmarks", "box"]
        return tuple(name for name in FIELDS if name in known)

    def _stored_columns(self, split: str, count: int) -> dict[str, np.ndarray] | None:
        path = self._directory / f"columns-{split}.npz"
        if path.exists():
            with np.load(path, allow_pickle=False) as stored:
                columns = {name: stored[name] for name in stored.files}
            if all(len(column) == count for column in columns.values()) and "label" in columns:
                return complete_columns(columns, count)
            rows = len(next(iter(columns.values()), []))
            raise DataError(
                f"{path} does not belong to these records: it has {rows} rows for {count} "
                "examples. Delete it, and the records themselves are read instead"
            )
        return None


def _read_columns(builder: Any, split: str, count: int) -> dict[str, np.ndarray]:
    """Of a build that `pack` did not make: from the records themselves."""
    import tensorflow_datasets as tfds

    pictures = [name for name in ("image", "mask") if name in builder.info.features]
    decoders = {name: tfds.decode.SkipDecoding() for name in pictures}
    records = builder.as_data_source(split=split, decoders=decoders)
    examples = [records[i] for i in range(count)]
    return complete_columns(
        {
            name: np.array([_plain(example[name]) for example in examples])
            for name in COLUMNS
            if examples and name in examples[0]
        },
        count,
    )


def _plain(value: Any) -> Any:
    value = np.asarray(value).item()
    return value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else value


def complete_columns(columns: Mapping[str, np.ndarray], count: int) -> dict[str, np.ndarray]:
    """The columns with their types, and defaults for those that are missing."""
    full: dict[str, np.ndarray] = {}
    for name in TEXT_COLUMNS:
        full[name] = np.asarray(columns.get(name, np.full(count, "")), dtype=np.str_)
    for name in INT_COLUMNS:
        full[name] = np.asarray(columns.get(name, np.zeros(count)), dtype=np.int32)
    full["timestamp"] = np.asarray(columns.get("timestamp", np.zeros(count)), dtype=np.float32)
    if "video_id" not in columns:
        full["video_id"] = np.array([str(i) for i in range(count)], dtype=np.str_)
    return full


def find_build(directory: str | Path) -> Path:
    """The one TFDS version directory at or below `directory`.

    Raises:
      DataError: there is none, or there are several.
    """
    root = Path(directory).expanduser()
    if not root.is_dir():
        raise DataError(
            f"no folder {root}: set config.data.dir to what `python -m data_pipeline.prepare` was "
            "given as --out"
        )
    builds = sorted(path.parent for path in root.rglob("dataset_info.json"))
    builds = [path for path in builds if _is_complete(path) and not _is_begun(path, root)]
    if len(builds) == 1:
        return builds[0]
    if not builds:
        raise DataError(
            f"no records in {root}: run `python -m data_pipeline.prepare --out={root} …`, or name "
            "the folder that holds dataset_info.json"
        )
    listed = "\n  ".join(map(str, builds))
    raise DataError(f"several data sets below {root}; name one of them:\n  {listed}")


def _is_begun(build: Path, root: Path) -> bool:
    """Whether `pack` is making it, or was cut off."""
    return any(part.startswith(BUILDING) for part in build.relative_to(root).parts)


def _is_complete(build: Path) -> bool:
    try:
        return bool(json.loads((build / "dataset_info.json").read_text()).get("name"))
    except (OSError, ValueError):
        return False
