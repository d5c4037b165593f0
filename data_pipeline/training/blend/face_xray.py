"""Blended images of Face X-ray (Li et al., CVPR 2020, arXiv 1912.13458): another's face put on.

Of two real faces, the second gives what lies within the hull of the first one's landmarks. Its soft
mask m makes the X-ray 4·m·(1 − m), which is 1 where both are seen alike.
"""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np

from data_pipeline.training.blend.colour import MATCHES
from data_pipeline.training.blend.masks import bend, fill, mix, to_uint8
from data_pipeline.training.blend.pair import Blend
from data_pipeline.training.blend.poisson import poisson
from data_pipeline.training.blend.regions import REGIONS, WHOLE, region_hulls
from data_pipeline.training.blend.resolution import LimitedFacePair
from data_pipeline.training.blend.transforms import chance
from data_pipeline.training.blend.warp import landmark_warp, similarity_warp
from data_pipeline.training.example import Example
from data_pipeline.training.ops.base import Range

_ODD_SIZES = tuple(range(5, 36, 2))
_HALF = 127
_STILL = np.eye(2, 3, dtype=np.float32)


@dataclasses.dataclass(frozen=True)
class FaceXray(LimitedFacePair):
    """Makes a pair of two real examples; a pure function of them and the generator.

    Attributes:
      size, margin, mirror, outline, jitter, shared, limited, widths, unsharp: see
        `LimitedFacePair`.
      regions: of `blend.regions.REGIONS`, each as likely.
      by_landmarks: probability that the donor is bent feature by feature to where the target's
        landmarks are; else it is turned, scaled and shifted.
      mask_sizes: least and greatest height and width at which the mask is made, in pixels: all that
        follows is in these.
      bend: least and greatest deviation of the mask's control points, as a share of its size.
      erode: greatest odd size of the kernel that shrinks the mask, half of the time.
      dilate: greatest odd size of the kernel that grows it, the other half.
      colours: of `blend.colour.MATCHES`, each as likely.
      poisson: probability that the donor's gradients are blended by Poisson's equation where the
        mask is above a half, and the mask of the pair ends there; else the soft mask is feathered.

    Raises:
      ValueError: a value out of range, or a name that is not known.
    """

    needs_donor = True

    regions: tuple[str, ...] = ("hull",)
    by_landmarks: float = 0.0
    mask_sizes: tuple[int, int] = (128, 317)
    bend: Range = (0.01, 0.08)
    erode: int = 21
    dilate: int = 5
    colours: tuple[str, ...] = ("means", "lab")
    poisson: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, known in (("regions", REGIONS), ("colours", MATCHES)):
            given = getattr(self, name)
            if not given or not set(given) <= set(known):
                raise ValueError(f"{name} {given}: some of {', '.join(known)}")
        if not 16 <= self.mask_sizes[0] <= self.mask_sizes[1]:
            raise ValueError(
                f"mask_sizes {self.mask_sizes}: least and greatest, at least 16 pixels"
            )
        if not 0 <= self.bend[0] <= self.bend[1]:
            raise ValueError(f"bend {self.bend}: least and greatest, not negative")
        if min(self.erode, self.dilate) < 1:
            raise ValueError(f"erode {self.erode}, dilate {self.dilate}: 1 or more")

    def _blend(
        self, target: Example, points: np.ndarray, draw: np.random.Generator, donor: Example | None
    ) -> Blend:
        assert donor is not None  # needs_donor
        shape = target.image.shape[:2]
        region = self.regions[draw.integers(len(self.regions))]
        hulls = fill(region_hulls(points, region), shape, _STILL)
        warp = landmark_warp if draw.random() < self.by_landmarks else similarity_warp
        moved = warp(donor.image, self._given(donor), self._given(target), shape)
        moved = self._limited(moved, points, draw)
        mask = to_uint8(self._soft_mask(hulls, draw, part=region not in WHOLE), shape, 1.0)
        match = MATCHES[self.colours[draw.integers(len(self.colours))]]
        coloured = match(moved, target.image, mask)
        if chance(self.poisson, draw):
            hard = np.where(mask > _HALF, np.uint8(255), np.uint8(0))
            return Blend(target.image, poisson(coloured, target.image, hard), hard)
        fake = mix(coloured, target.image, mask)
        return Blend(target.image, fake, mask)

    def _soft_mask(self, mask: np.ndarray, draw: np.random.Generator, *, part: bool) -> np.ndarray:
        """uint8 [H, W], 0 or 255 -> float32 [h, w], 0 to 1, of a size drawn; a part or a face."""
        size = int(draw.integers(self.mask_sizes[0], self.mask_sizes[1] + 1))
        small = cv2.resize(mask, (size, size), interpolation=cv2.INTER_AREA)
        small = bend(small, draw, amount=draw.uniform(*self.bend))
        shrinks = draw.random() < 0.5
        reach = int(draw.integers((self.erode if shrinks else self.dilate) // 2 + 1))
        if part:
            reach //= 4  # a mouth is a quarter as high as a face
        kernel = np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)
        changed = (cv2.erode if shrinks else cv2.dilate)(small, kernel)
        blur = _ODD_SIZES[draw.integers(len(_ODD_SIZES))]
        soft = cv2.GaussianBlur(
            (changed if changed.any() else small).astype(np.float32), (blur, blur), 0
        )
        return soft / max(float(soft.max()), 1e-6)
