"""Face-warping artefacts (Li & Lyu, arXiv 1811.00656): a face at a lower resolution, put back.

A generator makes faces of one size, which are warped to the size of the face that they replace.
Here the face itself is brought to such a size, blurred, and warped back.
"""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np

from data_pipeline.extract.crop import similarity_transform
from data_pipeline.landmarks import canonical
from data_pipeline.training.blend.masks import fill, mix
from data_pipeline.training.blend.pair import Blend, FacePair
from data_pipeline.training.blend.regions import LAYOUTS
from data_pipeline.training.example import Example

_LEAST_SIZE = 8


@dataclasses.dataclass(frozen=True)
class FWA(FacePair):
    """Makes a pair of one real example; a pure function of it and the generator.

    Attributes:
      size, margin, mirror, outline, jitter, shared: see `FacePair`.
      sizes: least and greatest side in pixels of the square that the inner face is warped to; never
        more than it has in the image.
      blur: size of the Gaussian's kernel there, odd.
      partial: probability that only the hull of brows and mouth is changed, not the whole square.

    Raises:
      ValueError: a value out of range.
    """

    sizes: tuple[int, int] = (64, 127)
    blur: int = 5
    partial: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        if not _LEAST_SIZE <= self.sizes[0] <= self.sizes[1]:
            raise ValueError(
                f"sizes {self.sizes}: least and greatest, at least {_LEAST_SIZE} pixels"
            )
        if self.blur < 1 or self.blur % 2 == 0:
            raise ValueError(f"blur {self.blur}: an odd number of pixels")

    def _blend(
        self, target: Example, points: np.ndarray, draw: np.random.Generator, donor: Example | None
    ) -> Blend:
        del donor
        image, shape = target.image, target.image.shape[:2]
        corners = inner_square(points)
        size = int(draw.integers(self.sizes[0], self.sizes[1] + 1))
        size = max(min(size, int(np.hypot(*(corners[1] - corners[0])))), _LEAST_SIZE)
        last = size - 1
        there = np.array([(0, 0), (last, 0), (last, last), (0, last)], np.float64)
        try:
            matrix = similarity_transform(corners, there)
        except ValueError:  # landmarks that coincide: the middle of the image, for something is
            height, width = shape
            middle = np.array([(1, 1), (3, 1), (3, 3), (1, 3)]) / 4 * (width, height)
            matrix = similarity_transform(middle, there)
        small = cv2.warpAffine(
            image, matrix, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101
        )
        blurred = cv2.GaussianBlur(small, (self.blur, self.blur), 0)
        back = cv2.warpAffine(
            blurred,
            matrix,
            shape[::-1],
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REFLECT_101,
        )
        still = np.eye(2, 3, dtype=np.float32)
        mask = fill([corners.astype(np.float32)], shape, still)
        if draw.random() < self.partial:
            parts = LAYOUTS[len(points)]
            chosen = [i for name in ("brow_left", "brow_right", "mouth") for i in parts[name]]
            hull = cv2.convexHull(np.ascontiguousarray(points[chosen], np.float32))[:, 0]
            mask &= fill([hull], shape, still)
        return Blend(image, mix(back, image, mask), mask)


def inner_square(points: np.ndarray) -> np.ndarray:
    """The square around the inner face, turned as the face is.

    The mean face's square around all but jaw and forehead, laid over the points by eyes and mouth.

    Args:
      points: [K, 2] of a layout of `blend.regions`.

    Returns:
      float64 [4, 2], its corners clockwise from the upper left.
    """
    mean = canonical.POINTS
    inner = mean[17:68]
    centre, half = (inner.min(0) + inner.max(0)) / 2, np.ptp(inner, axis=0).max() / 2
    square = centre + half * np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)])
    matrix = similarity_transform(_features(mean), _features(points))
    return np.asarray(square @ matrix[:, :2].T + matrix[:, 2])


def _features(points: np.ndarray) -> np.ndarray:
    """Centres of the eyes and the mouth: [3, 2]."""
    parts = LAYOUTS[len(points)]
    names = ("eye_left", "eye_right", "mouth")
    return np.stack([points[list(parts[name])].mean(0) for name in names])
