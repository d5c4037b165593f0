"""Self-blended images (Shiohara & Yamasaki, CVPR 2022): a fake of one real image alone.

The image is blended with a slightly changed copy of itself, so that a fake has nothing but the
traces that blending leaves, and statistics that do not match.
"""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np

from data_pipeline.training.blend.masks import deform, fill, mix, soften, to_uint8
from data_pipeline.training.blend.pair import NEXT_TO_NOTHING, Blend
from data_pipeline.training.blend.regions import REGIONS, WHOLE, region_hulls
from data_pipeline.training.blend.resolution import LimitedFacePair
from data_pipeline.training.blend.transforms import (
    OneOf,
    RGBShift,
    Sharpen,
    ShrinkGrow,
    draw_move,
)
from data_pipeline.training.example import Example
from data_pipeline.training.ops.base import Op, apply_ops
from data_pipeline.training.ops.photometric import BrightnessContrast

_ODD_SIZES = tuple(range(5, 26, 2))


@dataclasses.dataclass(frozen=True)
class SelfBlend(LimitedFacePair):
    """Makes a pair of a real example, see `PairOp`; a pure function of example and generator.

    Attributes:
      size, margin, mirror, outline, jitter, shared, limited, widths, unsharp: see
        `LimitedFacePair`.
      without_forehead: probability that the forehead is left out of the region.
      regions: of `REGIONS`, each as likely.
      soft: whether the mask is blurred; without, it ends at an edge.
      mismatch: changes the source or the target, each as likely.
      shift: of the source in x and y, at most, as shares of the loose crop.
      scale: of the source, at least; 1 / scale at most.
      elastic: alpha and sigma of the mask's deformation, in pixels.
      mask_sizes: least and greatest height and width of the mask while it is blurred, in pixels.
      ratios: that the mask is multiplied by, each as likely.

    Raises:
      ValueError: a margin beyond the loose crop, or regions that are not known.
    """

    regions: tuple[str, ...] = WHOLE
    without_forehead: float = 0.25
    mismatch: tuple[Op, ...] = (
        RGBShift(p=0.3),
        NEXT_TO_NOTHING,
        BrightnessContrast(p=1.0, brightness=0.1, contrast=0.1),
        OneOf((ShrinkGrow(), Sharpen())),
    )
    shift: tuple[float, float] = (0.03, 0.015)
    scale: float = 0.95
    elastic: tuple[float, float] = (50.0, 7.0)
    soft: bool = True
    mask_sizes: tuple[int, int] = (192, 256)
    ratios: tuple[float, ...] = (0.25, 0.5, 0.75, 1.0, 1.0, 1.0)

    def __post_init__(self) -> None:
        super().__post_init__()
        unknown = [name for name in self.regions if name not in REGIONS]
        if unknown or not self.regions:
            raise ValueError(f"regions {self.regions}: some of {', '.join(REGIONS)}")
        if not self.ratios or not all(0 < ratio <= 1 for ratio in self.ratios):
            raise ValueError(f"ratios {self.ratios}: some above 0, at most 1")
        if not 1 <= self.mask_sizes[0] <= self.mask_sizes[1]:
            raise ValueError(f"mask_sizes {self.mask_sizes}: least and greatest, at least 1 pixel")

    def blend(self, image: np.ndarray, points: np.ndarray, draw: np.random.Generator) -> Blend:
        """An image blended with a changed copy of itself.

        Args:
          image: uint8 RGB [H, W, 3].
          points: [K, 2] of a layout of `blend.regions`, in pixels of the image.
          draw: of everything.
        """
        shape = image.shape[:2]
        region = self.regions[draw.integers(len(self.regions))]
        hulls = region_hulls(points, region, forehead=draw.random() >= self.without_forehead)
        changed = apply_ops(Example(image, 0), self.mismatch, int(draw.integers(2**32))).image
        source, target = (changed, image) if draw.random() < 0.5 else (image, changed)
        source = self._limited(source, points, draw)

        matrix = draw_move(shape, draw, shift=self.shift, scale=self.scale)
        height, width = draw.integers(self.mask_sizes[0], self.mask_sizes[1] + 1, 2)
        alpha, sigma = self.elastic
        mask = fill(hulls, shape, matrix)
        soft = deform(mask, (int(height), int(width)), draw, alpha=alpha, sigma=sigma)
        if self.soft:
            soft = soften(soft, draw, sizes=_ODD_SIZES, sigmas=(5, 45))
        ratio = self.ratios[draw.integers(len(self.ratios))]
        mask = to_uint8(soft, shape, ratio)
        # At the image's border the source is mirrored, not black: an edge would give fakes away.
        moved = cv2.warpAffine(
            source,
            matrix,
            shape[::-1],
            flags=cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REFLECT_101,
        )
        return Blend(target, mix(moved, target, mask), mask)

    def _blend(
        self, target: Example, points: np.ndarray, draw: np.random.Generator, donor: Example | None
    ) -> Blend:
        del donor
        return self.blend(target.image, points, draw)
