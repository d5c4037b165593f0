"""Pictures and landmarks for tests of blending: nobody's."""

from __future__ import annotations

import cv2
import numpy as np

from data_pipeline.landmarks import canonical


def picture(seed: int, height: int = 90, width: int = 80) -> np.ndarray:
    coarse = np.random.default_rng(seed).integers(0, 255, (9, 8, 3)).astype(np.uint8)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)


def face(count: int = 81, size: float = 0.45, at: tuple[float, float] = (12, 18)) -> np.ndarray:
    """Landmarks of a face about 37 pixels wide."""
    points = canonical.POINTS * np.float32(size) + np.float32(at)
    return canonical.five_points(points) if count == 5 else points[:count]
