"""Face crops, the same for training, evaluation and prediction."""

from __future__ import annotations

import cv2
import numpy as np

from data_pipeline.training.window import centre_square, fit_to_size

ALIGNMENTS = {"similarity": "a1", "box": "b1", "none": "n1"}
"""Ways to crop, and the version that records carry; "none" is for images that are crops."""

MARGIN = 1.3
"""The crop's side in sides of the face, where nothing else is said."""
_TEMPLATE_SIZE = 112
# Eyes, nose and mouth corners, left to right on the image, in a 112 px box.
_TEMPLATE = np.array(
    [
        [38.2946, 51.6963],
        [73.5318, 51.5014],
        [56.0252, 71.7366],
        [41.5493, 92.3655],
        [70.7299, 92.2041],
    ]
)


def template(size: int, margin: float = MARGIN) -> np.ndarray:
    """Where the 5 landmarks belong in a crop of `size` pixels: [5, 2] (x, y)."""
    return (_TEMPLATE - _TEMPLATE_SIZE / 2) / (_TEMPLATE_SIZE * margin) * size + size / 2


def similarity_transform(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The least-squares similarity (scale, rotation, shift; no reflection) from source to target.

    In complex numbers it is z → a·z + b, linear in a and b.

    Args:
      source, target: [n, 2].

    Returns:
      [2, 3] for `cv2.warpAffine`.

    Raises:
      ValueError: all source points coincide.
    """
    z, w = (np.asarray(p, np.float64) @ [1, 1j] for p in (source, target))
    centred = z - z.mean()
    spread = float(np.sum(np.abs(centred) ** 2))
    if spread < 1e-9:
        raise ValueError("the landmarks coincide: no similarity is defined")
    a = np.sum(np.conj(centred) * (w - w.mean())) / spread
    b = w.mean() - a * z.mean()
    return np.array([[a.real, -a.imag, b.real], [a.imag, a.real, b.imag]])


def box_transform(box: np.ndarray, size: int, margin: float = MARGIN) -> np.ndarray:
    """Takes the upright square of side margin·max(w, h) around a box x0, y0, x1, y1 to the crop."""
    x0, y0, x1, y1 = np.asarray(box, np.float64)
    scale = size / max(margin * max(x1 - x0, y1 - y0), 1e-6)
    centre = ((x0 + x1) / 2, (y0 + y1) / 2)
    return np.array(
        [[scale, 0, size / 2 - scale * centre[0]], [0, scale, size / 2 - scale * centre[1]]]
    )


def crop_matrix(
    box: np.ndarray,
    landmarks: np.ndarray,
    *,
    size: int,
    alignment: str,
    margin: float = MARGIN,
) -> np.ndarray | None:
    """What takes a pixel of the frame to its place in the crop.

    Args:
      box: x0, y0, x1, y1 in pixels.
      landmarks: [5, 2], left eye, right eye, nose, left and right mouth corner on the image.
      size: of the crop in pixels.
      alignment: "similarity", "box", or "none".
      margin: the crop's side in sides of the face: of its box, or of the template of 5 landmarks.

    Returns:
      [2, 3] for `cv2.warpAffine`; None for "none": the centre square of the whole image.

    Raises:
      ValueError: an unknown alignment, or landmarks that all coincide.
    """
    if alignment not in ALIGNMENTS:
        raise ValueError(f"unknown alignment '{alignment}'; available: {', '.join(ALIGNMENTS)}")
    if alignment == "similarity":
        return similarity_transform(landmarks, template(size, margin))
    return box_transform(box, size, margin) if alignment == "box" else None


def crop_face(
    image: np.ndarray,
    box: np.ndarray,
    landmarks: np.ndarray,
    *,
    size: int,
    alignment: str,
    margin: float = MARGIN,
) -> np.ndarray:
    """A face crop; outside the image its border is reflected.

    Args:
      image: uint8 RGB [H, W, 3].
      box, landmarks, size, alignment, margin: see `crop_matrix`.

    Returns:
      uint8 RGB [size, size, 3].

    Raises:
      ValueError: see `crop_matrix`.
    """
    matrix = crop_matrix(box, landmarks, size=size, alignment=alignment, margin=margin)
    return fit_to_size(image, size) if matrix is None else warp(image, matrix, size)


def crop_mask(
    mask: np.ndarray,
    box: np.ndarray,
    landmarks: np.ndarray,
    *,
    size: int,
    alignment: str,
    margin: float = MARGIN,
) -> np.ndarray:
    """A mask cut as `crop_face` cuts its image, by the nearest pixel; outside the image it is 0.

    Args:
      mask: uint8 [H, W].
      box, landmarks, size, alignment, margin: see `crop_matrix`.

    Returns:
      uint8 [size, size].

    Raises:
      ValueError: see `crop_matrix`.
    """
    matrix = crop_matrix(box, landmarks, size=size, alignment=alignment, margin=margin)
    if matrix is None:
        return centre_square(*mask.shape).cut_mask(mask, (size, size))
    return warp_mask(mask, matrix, size)


def warp(image: np.ndarray, matrix: np.ndarray, size: int) -> np.ndarray:
    """What a `crop_matrix` takes to the crop: uint8 [size, size, 3], the border reflected."""
    return cv2.warpAffine(
        image, matrix, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101
    )


def warp_mask(mask: np.ndarray, matrix: np.ndarray, size: int) -> np.ndarray:
    """As `warp`, of a mask, by the nearest pixel: uint8 [size, size], outside the image 0."""
    return cv2.warpAffine(
        mask, matrix, (size, size), flags=cv2.INTER_NEAREST, borderMode=cv2.BORDER_CONSTANT
    )


def crop_points(points: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Where points [K, 2] of the frame are in the crop of a `crop_matrix`: float32 [K, 2]."""
    moved = np.asarray(points, np.float64) @ matrix[:, :2].T + matrix[:, 2]
    return moved.astype(np.float32)
