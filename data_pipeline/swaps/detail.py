"""Detail that resampling took, given back: else a swapped face is told by how soft it is."""

from __future__ import annotations

import cv2
import numpy as np

from data_pipeline.swaps.portraits import Face

_MOST = 2.0
"""Greatest amount of sharpening: more would show halos."""


def restored(moved: np.ndarray, points: np.ndarray, original: Face) -> np.ndarray:
    """A face that was moved, sharpened until it has its original's detail.

    Detail is the Laplacian's standard deviation in the points' hull, of grey. With d = x − blur(x),
    x + a·d has a Laplacian whose variance is quadratic in a, which is solved.

    Args:
      moved: uint8 RGB [H, W, 3].
      points: [K, 2], where the face is in it.
      original: the face before.

    Returns:
      uint8 RGB [H, W, 3].
    """
    blurred = cv2.GaussianBlur(moved, (0, 0), 1.0)
    kept = _laplacian(moved, points)
    lost = kept - _laplacian(blurred, points)
    wanted = float(np.var(_laplacian(original.image, original.points)))
    covariance = float(np.mean((kept - kept.mean()) * (lost - lost.mean())))
    a, b, c = float(np.var(lost)), 2 * covariance, float(np.var(kept)) - wanted
    if c >= 0 or a <= 0:
        return moved
    amount = min((-b + np.sqrt(b * b - 4 * a * c)) / (2 * a), _MOST)
    return np.asarray(cv2.addWeighted(moved, 1 + amount, blurred, -amount, 0))


def _laplacian(image: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Of grey, within the points' hull: float64 [n]."""
    mask = np.zeros(image.shape[:2], np.uint8)
    cv2.fillConvexPoly(mask, np.rint(cv2.convexHull(points)).astype(np.int32), 255)
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    found = cv2.Laplacian(grey, cv2.CV_64F)[mask > 0]
    return np.asarray(found) if found.size else np.zeros(1)
