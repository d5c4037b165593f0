"""Figures of an image as a whole, which know nothing of faces: what a data set can be told by.

A detector that is no better than a line through these may have learned the data set, its cameras
and its codec, and no forgery.
"""

from __future__ import annotations

import cv2
import numpy as np

JPEG_QUALITY = 90
# Half-axes of the ellipse that counts as the face, in sides of the crop.
FACE_WIDTH, FACE_HEIGHT = 0.30, 0.38


def image_statistics(image: np.ndarray) -> np.ndarray:
    """Colour means and deviations, JPEG size and sharpness.

    Args:
      image: uint8 RGB [H, W, 3].

    Returns:
      float64 [8]: means and standard deviations of R, G and B; logarithms of the bytes a pixel of
      the image as JPEG of quality 90, and of the variance of its Laplacian.
    """
    encoded = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1]
    size = len(encoded) / (image.shape[0] * image.shape[1])
    sharpness = _laplacian(image).var()
    colours = (*image.mean((0, 1)), *image.std((0, 1)))
    return np.array([*colours, np.log(size), np.log1p(sharpness)], np.float64)


def sharpness_statistics(image: np.ndarray) -> np.ndarray:
    """How much sharper the face is than what is around it.

    Args:
      image: uint8 RGB [H, W, 3], a face crop.

    Returns:
      float64 [2]: logarithm of the ratio of the Laplacian's mean square inside of a centred ellipse
      to that outside, of the image and of the image at half its size.
    """
    half = cv2.resize(image, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    return np.array([_ratio(image), _ratio(half)], np.float64)


def _ratio(image: np.ndarray) -> float:
    height, width = image.shape[:2]
    y = (np.arange(height) + 0.5) / height - 0.5
    x = (np.arange(width) + 0.5) / width - 0.5
    inside = (x[None, :] / FACE_WIDTH) ** 2 + (y[:, None] / FACE_HEIGHT) ** 2 <= 1
    energy = _laplacian(image) ** 2
    # One grey level: below it there is nothing but rounding, and flat images have a ratio of 1.
    return float(np.log(energy[inside].mean() + 1) - np.log(energy[~inside].mean() + 1))


def _laplacian(image: np.ndarray) -> np.ndarray:
    return cv2.Laplacian(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.CV_64F)
