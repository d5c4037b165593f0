"""A rectangle cut out of an example and resized: image, mask, landmarks and box alike."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import cv2
import numpy as np

from data_pipeline.training.example import Example


class Window(NamedTuple):
    """A rectangle of an image, in whole pixels."""

    top: int
    left: int
    height: int
    width: int

    def cut(self, image: np.ndarray, size: tuple[int, int], interpolation: int) -> np.ndarray:
        """The rectangle of an image [H, W, …], resized to `size` (width, height).

        A view of the image where the rectangle has that size already.
        """
        part = image[self.top : self.top + self.height, self.left : self.left + self.width]
        if size == (self.width, self.height):
            return part
        return np.asarray(cv2.resize(part, size, interpolation=interpolation))

    def cut_mask(self, mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """As `cut`, by the nearest pixel: a mask's values stay what they are."""
        # Not INTER_NEAREST, which rounds down and so shifts by up to half a pixel.
        return self.cut(mask, size, cv2.INTER_NEAREST_EXACT)

    def move(self, points: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """Where points [K, 2] of the image are in what `cut` gives: float32 [K, 2]."""
        scale = np.array(size) / (self.width, self.height)
        moved = (points - (self.left, self.top) + 0.5) * scale - 0.5
        return moved.astype(np.float32)

    def apply(self, example: Example, size: tuple[int, int], interpolation: int) -> Example:
        """The example of the rectangle."""
        return dataclasses.replace(
            example.with_points(lambda points: self.move(points, size)),
            image=self.cut(example.image, size, interpolation),
            mask=None if example.mask is None else self.cut_mask(example.mask, size),
        )


def centre_square(height: int, width: int) -> Window:
    """The largest square in the middle of an image."""
    side = min(height, width)
    return Window((height - side) // 2, (width - side) // 2, side, side)


def fit_to_size(image: np.ndarray, size: int) -> np.ndarray:
    """The centre square of an image at `size` pixels; untouched where it has that size already."""
    square = centre_square(*image.shape[:2])
    return square.cut(image, (size, size), _interpolation(square, size))


def fit_example(example: Example, size: int) -> Example:
    """As `fit_to_size`, with mask, landmarks and box."""
    height, width = example.image.shape[:2]
    if height == width == size:
        return example
    square = centre_square(height, width)
    return square.apply(example, (size, size), _interpolation(square, size))


def _interpolation(square: Window, size: int) -> int:
    return cv2.INTER_AREA if square.height > size else cv2.INTER_LINEAR
