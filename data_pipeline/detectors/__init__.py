"""Face detectors behind one interface."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Protocol

import numpy as np


class DetectorError(ValueError):
    """A detector cannot be set up; the message says what it needs."""


@dataclasses.dataclass(frozen=True)
class Face:
    """A detected face, in pixels of the frame.

    Attributes:
      box: x0, y0, x1, y1.
      landmarks: [5, 2]: left eye, right eye, nose, left and right mouth corner on the image.
      score: 0 to 1.
    """

    box: np.ndarray
    landmarks: np.ndarray
    score: float

    @property
    def area(self) -> float:
        """Of the box, in square pixels."""
        return float((self.box[2] - self.box[0]) * (self.box[3] - self.box[1]))


class Detector(Protocol):
    """Finds faces."""

    def detect(self, image: np.ndarray) -> list[Face]:
        """Faces in a uint8 RGB image [H, W, 3], the largest first."""
        ...


DETECTORS = ("mtcnn", "yunet", "retinaface", "none")


def create_detector(name: str, weights: Path | None = None) -> Detector:
    """A detector by name.

    Args:
      name: one of `DETECTORS`.
      weights: the ONNX file of RetinaFace, or another copy of YuNet's; MTCNN carries its own.

    Raises:
      DetectorError: the detector is unknown, or its weights are missing or not the tested ones.
    """
    if name == "mtcnn":
        from data_pipeline.detectors.mtcnn import MTCNNDetector

        return MTCNNDetector()
    if name == "yunet":
        from data_pipeline.detectors.yunet import YuNetDetector

        return YuNetDetector(weights)
    if name == "retinaface":
        from data_pipeline.detectors.retinaface import RetinaFaceDetector

        return RetinaFaceDetector(weights)
    if name == "none":
        from data_pipeline.detectors.none import WholeImage

        return WholeImage()
    raise DetectorError(f"unknown detector '{name}'; available: {', '.join(DETECTORS)}")
