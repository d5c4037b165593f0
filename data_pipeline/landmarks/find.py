"""Landmarks of the largest face in an image."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from data_pipeline.detectors import create_detector
from data_pipeline.landmarks.face_mesh import FaceMesh

FINDERS = ("yunet", "face_mesh")

Find = Callable[[np.ndarray], np.ndarray | None]
"""uint8 RGB [H, W, 3] -> float32 [K, 2] in pixels, or None where there is no face."""


def landmark_finder(
    name: str, detector_weights: Path | None = None, landmark_weights: Path | None = None
) -> Find:
    """What finds landmarks.

    Args:
      name: "yunet" for 5, "face_mesh" for 468 in the face that YuNet finds.
      detector_weights: YuNet's file; None takes the package's own.
      landmark_weights: the mesh's; None fetches it once.

    Raises:
      ValueError: another name, or weights that cannot be had.
    """
    if name not in FINDERS:
        raise ValueError(f"no landmarks by '{name}'; available: {', '.join(FINDERS)}")
    detector = create_detector("yunet", detector_weights)
    mesh = FaceMesh(landmark_weights) if name == "face_mesh" else None

    def find(image: np.ndarray) -> np.ndarray | None:
        faces = detector.detect(image)
        if not faces:
            return None
        face = faces[0]
        return mesh.points(image, face.box, face.landmarks) if mesh else face.landmarks

    return find
