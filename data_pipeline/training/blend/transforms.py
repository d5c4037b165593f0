"""How source and target are made to differ: colour, frequencies and place."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np

from data_pipeline.training.ops.base import Range
from data_pipeline.training.ops.photometric import Photometric


@dataclasses.dataclass(frozen=True)
class RGBShift(Photometric):
    """Adds to each channel its own number, within ± `limit` (of 255)."""

    p: float = 0.3
    limit: float = 20.0

    def change(self, image: np.ndarray, draw: np.random.Generator) -> np.ndarray:
        """See the class."""
        shift = draw.uniform(-self.limit, self.limit, 3)
        tables = np.clip(np.rint(np.arange(256)[:, None] + shift), 0, 255).astype(np.uint8)
        return np.asarray(cv2.LUT(image, tables[None]))


@dataclasses.dataclass(frozen=True)
class ShrinkGrow(Photometric):
    """Takes every `factor`-th pixel and grows the image back linearly: fine detail is lost."""

    p: float = 1.0
    factors: tuple[int, ...] = (2, 4)

    def change(self, image: np.ndarray, draw: np.random.Generator) -> np.ndarray:
        """See the class."""
        height, width = image.shape[:2]
        factor = self.factors[draw.integers(len(self.factors))]
        small = (max(1, width // factor), max(1, height // factor))
        shrunk = cv2.resize(image, small, interpolation=cv2.INTER_NEAREST_EXACT)
        return np.asarray(cv2.resize(shrunk, (width, height), interpolation=cv2.INTER_LINEAR))


@dataclasses.dataclass(frozen=True)
class Sharpen(Photometric):
    """(1 − a)·x + a·(8 + l)·x − a·(the 8 neighbours), with a and l drawn from their ranges.

    A lightness `l` of 1 keeps the brightness.
    """

    p: float = 1.0
    alpha: Range = (0.2, 0.5)
    lightness: Range = (0.5, 1.0)

    def change(self, image: np.ndarray, draw: np.random.Generator) -> np.ndarray:
        """See the class."""
        alpha, lightness = draw.uniform(*self.alpha), draw.uniform(*self.lightness)
        kernel = np.full((3, 3), -alpha, np.float32)
        kernel[1, 1] = 1 - alpha + alpha * (8 + lightness)
        return np.asarray(cv2.filter2D(image, -1, kernel))


@dataclasses.dataclass(frozen=True)
class OneOf(Photometric):
    """Exactly one of several ops, each as likely as the others whatever its own `p`."""

    ops: tuple[Photometric, ...]
    p: float = 1.0

    def change(self, image: np.ndarray, draw: np.random.Generator) -> np.ndarray:
        """See the class."""
        return self.ops[draw.integers(len(self.ops))].change(image, draw)


def chance(p: float, draw: np.random.Generator) -> bool:
    """Whether something of probability p happens.

    Where p is 0 nothing is drawn: what is off leaves all other draws as they were.
    """
    return p > 0 and bool(draw.random() < p)


def draw_move(
    shape: tuple[int, int], draw: np.random.Generator, *, shift: tuple[float, float], scale: float
) -> np.ndarray:
    """A shift and a scale about the image's centre, without rotation.

    Args:
      shape: height and width in pixels.
      draw: of both.
      shift: greatest, in x and in y, as shares of width and height.
      scale: least; the greatest is 1 / `scale`.

    Returns:
      float32 [2, 3] for `cv2.warpAffine`.
    """
    size = np.array([shape[1], shape[0]])
    factor = draw.uniform(scale, 1 / scale)
    moved = draw.uniform(-1, 1, 2) * shift * size
    centre = (size - 1) / 2
    offset = centre * (1 - factor) + moved
    return np.array([[factor, 0, offset[0]], [0, factor, offset[1]]], np.float32)
