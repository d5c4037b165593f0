"""From the features of a stored record to an example."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import cv2
import numpy as np

from data_pipeline.extract.crop import ALIGNMENTS, MARGIN, crop_matrix, crop_points
from data_pipeline.training.errors import DataError
from data_pipeline.training.example import Example

_ALIGNMENT_OF = {version: alignment for alignment, version in ALIGNMENTS.items()}


class _Record(NamedTuple):
    features: Mapping[str, Any]
    image: np.ndarray
    label: int
    margin: float


def decode_example(
    features: Mapping[str, Any], label: int, fields: Sequence[str], *, margin: float = MARGIN
) -> Example:
    """An example of a parsed `tf.train.Example`.

    Args:
      features: its features by name.
      label: 0 real, 1 fake.
      fields: what to decode beside the image.
      margin: that the crop was cut with.

    Raises:
      DataError: a field is damaged or not known.
    """
    image = decode_image(_bytes(features, "image"))
    if not fields:
        return Example(image, label)
    record = _Record(features, image, label, margin)
    return Example(image, label, **{name: _DECODERS[name](record) for name in fields})


def decode_image(encoded: bytes) -> np.ndarray:
    """JPEG or PNG bytes to uint8 RGB [H, W, 3].

    Raises:
      DataError: the bytes are no image.
    """
    return _decode(encoded, cv2.IMREAD_COLOR_RGB)


def _decode(encoded: bytes, flags: int) -> np.ndarray:
    if not encoded:
        raise DataError("no bytes where an image should be: the file is cut off or damaged")
    image = cv2.imdecode(np.frombuffer(encoded, np.uint8), flags)
    if image is None:
        raise DataError(f"{len(encoded)} bytes that are neither JPEG nor PNG, or damaged")
    return np.asarray(image)


def _mask(record: _Record) -> np.ndarray:
    encoded, shape = _bytes(record.features, "mask"), record.image.shape[:2]
    if not encoded and record.label == 0:
        return np.zeros(shape, np.uint8)  # nothing of a real image is forged
    mask = _decode(encoded, cv2.IMREAD_GRAYSCALE)
    if mask.shape != shape:
        raise DataError(f"a mask of {mask.shape} pixels for an image of {shape}")
    return mask


def _landmarks(record: _Record) -> np.ndarray:
    """In pixels of the crop, where records store those of the frame."""
    _, points, matrix = _geometry(record)
    return crop_points(points, matrix)


def _box(record: _Record) -> np.ndarray:
    """In pixels of the crop too. Where that turned the face, the box stays upright around it."""
    box, _, matrix = _geometry(record)
    centre = crop_points((box[:2] + box[2:])[None] / 2, matrix)[0]
    half = (box[2:] - box[:2]) / 2 * np.float32(np.hypot(*matrix[:, 0]))
    return np.concatenate([centre - half, centre + half]).astype(np.float32)


def _landmarks_dense(record: _Record) -> np.ndarray:
    """They are stored in pixels of the crop."""
    values = record.features["landmarks_dense"].float_list.value
    points = np.array(values, np.float32).reshape(-1, 2)
    if not len(points) or np.isnan(points).any():
        raise DataError("no dense landmarks, or some that are not numbers")
    return points


def _geometry(record: _Record) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Box and landmarks in pixels of the frame, and what takes those to the crop."""
    features = record.features
    version = _bytes(features, "crop_version").decode()
    if version not in _ALIGNMENT_OF:
        known = ", ".join(_ALIGNMENT_OF)
        raise DataError(f"landmarks of an unknown crop version '{version}'; known: {known}")
    box, points = (
        np.array(features[name].float_list.value, np.float32).reshape(shape)
        for name, shape in (("box", -1), ("landmarks", (-1, 2)))
    )
    try:
        matrix = crop_matrix(
            box,
            points,
            size=record.image.shape[0],
            alignment=_ALIGNMENT_OF[version],
            margin=record.margin,
        )
    except ValueError as error:
        raise DataError(str(error)) from error
    if matrix is None or np.isnan(points).any():
        raise DataError("neither landmarks nor box are known: it was prepared with --detector=none")
    return box, points, matrix


def _bytes(features: Mapping[str, Any], name: str) -> bytes:
    # A cut-off ArrayRecord file gives examples without their fields, not an error.
    values = features[name].bytes_list.value
    return values[0] if values else b""


_DECODERS: dict[str, Callable[[_Record], np.ndarray]] = {
    "mask": _mask,
    "landmarks": _landmarks,
    "landmarks_dense": _landmarks_dense,
    "box": _box,
}
