"""Faces of a limited resolution, as swappers give them whose network makes 128 pixels or so."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np

from data_pipeline.training.blend.pair import FacePair
from data_pipeline.training.blend.ranges import check_range
from data_pipeline.training.blend.transforms import chance

_GROWING = (cv2.INTER_LINEAR, cv2.INTER_CUBIC, cv2.INTER_LANCZOS4)
_SIGMAS = (0.8, 2.5)
_AMOUNTS = (0.5, 1.5)
"""Of the unsharp mask: in pixels of the image, and in the detail that it adds."""


def at_scale(image: np.ndarray, scale: float, growing: int = cv2.INTER_CUBIC) -> np.ndarray:
    """An image shrunk by area, and grown back to the size that it had.

    Args:
      image: uint8 RGB [H, W, 3].
      scale: of the small one, above 0, at most 1.
      growing: OpenCV's interpolation.
    """
    height, width = image.shape[:2]
    small = (max(round(width * scale), 1), max(round(height * scale), 1))
    shrunk = cv2.resize(image, small, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(shrunk, (width, height), interpolation=growing))


def unsharp(image: np.ndarray, sigma: float, amount: float) -> np.ndarray:
    """Sharpened by an unsharp mask, x + amount·(x − blur(x)): uint8 RGB [H, W, 3].

    Args:
      image: uint8 RGB [H, W, 3].
      sigma: of the blur in pixels.
      amount: at least 0.
    """
    blurred = cv2.GaussianBlur(image, (0, 0), sigma)
    return np.asarray(cv2.addWeighted(image, 1 + amount, blurred, -amount, 0))


@dataclasses.dataclass(frozen=True)
class LimitedFacePair(FacePair):
    """A pair whose fake has a face that may have been rendered at a limited resolution.

    Attributes:
      limited: probability that the face that is blended in was shrunk, and grown back.
      widths: least and greatest width in pixels between its outermost landmarks there; never more
        than it has in the image, and a face that has less than the least is left as it is.
      unsharp: probability that a limited face is sharpened by an unsharp mask, as restored faces
        are.

    Raises:
      ValueError: a value out of range.
    """

    limited: float = 0.0
    widths: tuple[int, int] = (64, 256)
    unsharp: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range("widths", self.widths, 8)

    def _limited(
        self, image: np.ndarray, points: np.ndarray, draw: np.random.Generator
    ) -> np.ndarray:
        """What is blended in, at the resolution that is drawn.

        Args:
          image: uint8 RGB [H, W, 3].
          points: [K, 2], of the face in it.
          draw: of whether, how much and by which interpolation.
        """
        if not chance(self.limited, draw):
            return image
        own = float(np.ptp(points[:, 0]))
        if not own > self.widths[0]:  # or of unknown width
            return image
        # As likely to be twice as coarse at every width.
        width = np.exp(draw.uniform(*np.log((self.widths[0], min(self.widths[1], own)))))
        made = at_scale(image, float(width) / own, _GROWING[draw.integers(len(_GROWING))])
        if chance(self.unsharp, draw):
            made = unsharp(made, float(draw.uniform(*_SIGMAS)), float(draw.uniform(*_AMOUNTS)))
        return made
