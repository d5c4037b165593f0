"""Poisson blending (Pérez et al., SIGGRAPH 2003) through OpenCV's `seamlessClone`."""

from __future__ import annotations

import cv2
import numpy as np

_BORDER = 2
"""Pixels at the image's border that stay the target's: the solver reads its region's neighbours."""


def poisson(source: np.ndarray, target: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The source's gradients within a mask, on the target's colours around it.

    Args:
      source, target: uint8 RGB [H, W, 3].
      mask: uint8 [H, W]; the region is what is above 0, but for two pixels at the image's border.

    Returns:
      uint8 RGB [H, W, 3]: the target outside the region, and all over where it is smaller than
      three pixels.
    """
    region = np.zeros_like(mask)
    inside = (slice(_BORDER, -_BORDER), slice(_BORDER, -_BORDER))
    region[inside] = np.where(mask[inside] > 0, 255, 0)
    left, top, width, height = cv2.boundingRect(region)
    if min(width, height) < 3:
        return target.copy()
    # The region's rectangle is centred here, by halves rounded down: it lands where it was.
    centre = (left + width // 2, top + height // 2)
    # OpenCV writes to the mask that it is given.
    made = cv2.seamlessClone(source, target, region.copy(), centre, cv2.NORMAL_CLONE)
    return np.where(region[..., None] > 0, made, target)
