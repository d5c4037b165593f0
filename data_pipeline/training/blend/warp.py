"""A face brought to where another one is: as a whole, or feature by feature."""

from __future__ import annotations

import cv2
import numpy as np

from data_pipeline.extract.crop import similarity_transform


def similarity_warp(
    image: np.ndarray,
    source: np.ndarray,
    target: np.ndarray,
    shape: tuple[int, int],
    interpolation: int = cv2.INTER_LINEAR,
) -> np.ndarray:
    """An image turned, scaled and shifted so that its points are nearest to others.

    Args:
      image: uint8 RGB [H, W, 3].
      source: [K, 2], points of the image.
      target: [K, 2], where they are to be.
      shape: height and width of the result.
      interpolation: OpenCV's.

    Returns:
      uint8 RGB [h, w, 3]; outside the image it is mirrored.

    Raises:
      ValueError: the source's points coincide.
    """
    matrix = similarity_transform(source, target)
    return _mirrored_affine(image, matrix, shape, interpolation)


def landmark_warp(
    image: np.ndarray,
    source: np.ndarray,
    target: np.ndarray,
    shape: tuple[int, int],
    interpolation: int = cv2.INTER_LINEAR,
) -> np.ndarray:
    """An image bent so that its points come to lie on others: affine within each triangle.

    The triangles are Delaunay's of the target's points and of eight at the result's border, which
    move as the points do on average. Where the points span no triangles, it is `similarity_warp`.

    Args:
      image, source, target, shape, interpolation: see `similarity_warp`.

    Returns:
      uint8 RGB [h, w, 3]; outside the image it is mirrored.

    Raises:
      ValueError: the source's points coincide.
    """
    height, width = shape
    whole = similarity_transform(source, target)
    last = np.array([width - 1, height - 1], np.float64)
    from scipy.spatial import Delaunay, QhullError  # half of the package's import, for this alone

    low = np.minimum(target.min(0) - 1, 0)
    high = np.maximum(target.max(0) + 1, last)
    grid = np.array([(x, y) for x in (0, 0.5, 1) for y in (0, 0.5, 1) if (x, y) != (0.5, 0.5)])
    border = low + grid * (high - low)
    back = cv2.invertAffineTransform(whole)
    to = np.concatenate([np.asarray(target, np.float64), border])
    given = np.concatenate([source, border @ back[:, :2].T + back[:, 2]])
    try:
        triangles = Delaunay(to).simplices
    except QhullError:
        return _mirrored_affine(image, whole, shape, interpolation)
    places = _places(to[triangles], given[triangles], shape)
    x, y = cv2.split(places)
    return cv2.remap(image, x, y, interpolation, borderMode=cv2.BORDER_REFLECT_101)


def _places(to: np.ndarray, given: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """For each pixel, where in the image it is from: float32 [h, w, 2].

    Args:
      to, given: [T, 3, 2], the corners of each triangle there and in the image.
      shape: h and w.
    """
    corners = np.concatenate([to, np.ones((*to.shape[:2], 1))], axis=-1)
    maps = np.linalg.solve(corners, given).astype(np.float32)  # [T, 3, 2]: (x, y, 1) → (x, y)
    owner = np.zeros(shape, np.int32)
    for i, triangle in enumerate(np.rint(to).astype(np.int32)):
        cv2.fillConvexPoly(owner, triangle, i)
    x = np.arange(shape[1], dtype=np.float32)[None, :, None]
    y = np.arange(shape[0], dtype=np.float32)[:, None, None]
    return maps[:, 0][owner] * x + maps[:, 1][owner] * y + maps[:, 2][owner]


def _mirrored_affine(
    image: np.ndarray, matrix: np.ndarray, shape: tuple[int, int], interpolation: int
) -> np.ndarray:
    return cv2.warpAffine(
        image, matrix, shape[::-1], flags=interpolation, borderMode=cv2.BORDER_REFLECT_101
    )
