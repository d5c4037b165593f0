"""Soft masks of what is blended: a region filled, deformed, blurred and thinned."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

_ELASTIC_GRID = 4
"""Elastic noise is drawn on a grid of every fourth pixel: it is smooth over several anyway."""


def fill(hulls: Sequence[np.ndarray], shape: tuple[int, int], matrix: np.ndarray) -> np.ndarray:
    """The union of moved hulls.

    Where it is nowhere three pixels thick, since the landmarks lie on a line or outside the image,
    it is an ellipse in the image's middle instead: something is blended in any case.

    Args:
      hulls: [n, 2] each, in pixels.
      shape: height and width of the image.
      matrix: [2, 3], moves the points.

    Returns:
      uint8 [H, W], 0 or 255.
    """
    height, width = shape
    mask = np.zeros(shape, np.uint8)
    for hull in hulls:
        moved = hull @ matrix[:, :2].T + matrix[:, 2]
        if np.isfinite(moved).all():
            # Far outside they would overflow OpenCV's integers.
            limited = np.clip(moved, -4 * max(shape), 5 * max(shape))
            cv2.fillConvexPoly(mask, np.rint(limited).astype(np.int32), 255)
    if not cv2.erode(mask, np.ones((3, 3), np.uint8)).any():
        axes = (max(width * 3 // 8, 1), max(height * 3 // 8, 1))
        cv2.ellipse(mask, (width // 2, height // 2), axes, 0, 0, 360, 255, -1)
    return mask


def deform(
    mask: np.ndarray,
    shape: tuple[int, int],
    draw: np.random.Generator,
    *,
    alpha: float,
    sigma: float,
) -> np.ndarray:
    """A mask deformed elastically and resized, in one go.

    Each pixel moves by alpha times noise, uniform in ±1, that is smoothed with `sigma` pixels.

    Args:
      mask: uint8 [H, W].
      shape: height and width of the result.
      draw: of the noise.
      alpha, sigma: in pixels of the mask.

    Returns:
      float32 [h, w], 0 to 1.
    """
    height, width = mask.shape
    grid = (-(-height // _ELASTIC_GRID), -(-width // _ELASTIC_GRID))
    # The mean of 4·4 uniform draws is all but normal, with 1 / (4·√3) for a standard deviation.
    noise = draw.standard_normal((*grid, 2), np.float32) * np.float32(
        alpha / (_ELASTIC_GRID * np.sqrt(3))
    )
    smooth = cv2.GaussianBlur(
        noise, (0, 0), sigma / _ELASTIC_GRID, borderType=cv2.BORDER_REFLECT_101
    )
    places = cv2.resize(smooth, shape[::-1], interpolation=cv2.INTER_LINEAR)
    for axis, (wanted, given) in enumerate(zip(shape[::-1], (width, height), strict=True)):
        middles = ((np.arange(wanted, dtype=np.float32) + 0.5) * (given / wanted)) - 0.5
        places[..., axis] += middles[None, :] if axis == 0 else middles[:, None]
    x, y = cv2.split(places)
    moved = cv2.remap(mask, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return moved.astype(np.float32) / np.float32(255)


def bend(mask: np.ndarray, draw: np.random.Generator, *, amount: float) -> np.ndarray:
    """A mask bent by a grid of 4·4 control points over the image, each moved by a normal draw.

    Args:
      mask: uint8 [H, W].
      draw: of the moves.
      amount: their standard deviation, as a share of the mask's extent.

    Returns:
      uint8 [H, W].
    """
    height, width = mask.shape
    _, _, across, down = cv2.boundingRect(mask)
    moves = draw.standard_normal((4, 4, 2)) * (amount * across, amount * down)
    grid = moves.astype(np.float32)
    places = np.asarray(
        cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC), np.float32
    )
    places[..., 0] += np.arange(width, dtype=np.float32)[None, :]
    places[..., 1] += np.arange(height, dtype=np.float32)[:, None]
    x, y = cv2.split(places)
    return np.asarray(cv2.remap(mask, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT))


def soften(
    mask: np.ndarray, draw: np.random.Generator, *, sizes: Sequence[int], sigmas: tuple[int, int]
) -> np.ndarray:
    """A mask shrunk by the reach of one blur, then blurred by another.

    Args:
      mask: float32 [h, w], 0 to 1, somewhere above 0.
      draw: of the two blurs.
      sizes: of their kernels, odd, in pixels.
      sigmas: least and greatest of the second one's, in whole pixels.

    Returns:
      float32 [h, w], 0 to 1.
    """
    first, second = (int(sizes[i]) for i in draw.integers(len(sizes), size=2))
    sigma = int(draw.integers(sigmas[0], sigmas[1] + 1))
    core = cv2.GaussianBlur(mask, (first, first), 0)
    # Not exactly the maximum: what is 1 all around differs from it by rounding.
    core = (core >= core.max() * np.float32(1 - 1e-5)).astype(np.float32)
    blurred = cv2.GaussianBlur(core, (second, second), sigma)
    return blurred / blurred.max()


def to_uint8(mask: np.ndarray, shape: tuple[int, int], ratio: float) -> np.ndarray:
    """The mask at an image's size, times a ratio: uint8 [H, W] in 255ths.

    Args:
      mask: float32 [h, w], 0 to 1.
      shape: of the image.
      ratio: 0 to 1, of how much of the source comes through.
    """
    large = cv2.resize(mask, shape[::-1], interpolation=cv2.INTER_LINEAR)
    return np.asarray(cv2.convertScaleAbs(large, alpha=255 * ratio))


def mix(source: np.ndarray, target: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """m·source + (1 − m)·target; computed where the mask is not 0.

    Args:
      source, target: uint8 RGB [H, W, 3].
      mask: uint8 [H, W], in 255ths.

    Returns:
      uint8 RGB [H, W, 3], a new array.
    """
    mixed = target.copy()
    left, top, width, height = cv2.boundingRect(mask)
    if width and height:
        inside = (slice(top, top + height), slice(left, left + width))
        weight = mask[inside].astype(np.float32) / np.float32(255)
        mixed[inside] = cv2.blendLinear(source[inside], target[inside], weight, 1 - weight)
    return mixed
