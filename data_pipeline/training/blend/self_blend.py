"""Self-blended images (Shiohara & Yamasaki, CVPR 2022): a fake of one real image alone.

The image is blended with a slightly changed copy of itself, so that a fake has nothing but the
traces that blending leaves, and statistics that do not match.
"""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import cv2
import numpy as np

from data_pipeline.training.blend.masks import deform, fill, soften, to_uint8
from data_pipeline.training.blend.regions import REGIONS, dense_points, region_hulls
from data_pipeline.training.blend.transforms import (
    OneOf,
    RGBShift,
    Sharpen,
    ShrinkGrow,
    draw_move,
)
from data_pipeline.training.example import Example
from data_pipeline.training.narrow import cut_square
from data_pipeline.training.ops.base import Op, Range, apply_ops
from data_pipeline.training.ops.geometric import Flip
from data_pipeline.training.ops.photometric import JPEG, BrightnessContrast, HueSaturationValue
from data_pipeline.training.window import Window

_ODD_SIZES = tuple(range(5, 26, 2))
_LOOSE = (0.5, 1.0, 0.5, 0.4)
"""Left, above, right and below the landmarks' box, in shares of its size; blended is within it."""
# 0.3 of OpenCV's units, of which hue has two degrees each: hardly more than the way there and back.
_NEXT_TO_NOTHING = HueSaturationValue(p=1.0, hue=0.6, saturation=0.3, value=0.3)


class Blend(NamedTuple):
    """What blending gives, all of the image's height and width.

    Attributes:
      target: uint8 RGB [H, W, 3], the real image.
      fake: uint8 RGB [H, W, 3]; where the mask is 0 it is the target.
      mask: uint8 [H, W], in 255ths how much of the changed copy is in the fake.
    """

    target: np.ndarray
    fake: np.ndarray
    mask: np.ndarray


@dataclasses.dataclass(frozen=True)
class SelfBlend:
    """Makes a pair of a real example; a pure function of the example and the generator.

    Attributes:
      size: of the pair's images in pixels.
      margin: around the face, least and greatest; 0.125 twice in validation. Where the example has
        the face's box: of an upright square, in its longer sides, shifted as far as no side leaves
        the range. Else of the landmarks' box: a share of its size drawn for each side, and the
        rectangle is stretched to a square.
      mirror: probability of a mirrored pair.
      without_forehead: probability that the forehead is left out of the region.
      jitter: of the mean face that stands in for dense landmarks, see `dense_points`.
      mismatch: changes the source or the target, each as likely.
      shift: of the source in x and y, at most, as shares of the loose crop.
      scale: of the source, at least; 1 / scale at most.
      elastic: alpha and sigma of the mask's deformation, in pixels.
      mask_sizes: least and greatest height and width of the mask while it is blurred, in pixels.
      ratios: that the mask is multiplied by, each as likely.
      shared: changes both of the pair by the same draw.

    Raises:
      ValueError: a margin beyond the loose crop.
    """

    size: int = 380
    margin: Range = (0.05, 0.2)
    mirror: float = 0.5
    without_forehead: float = 0.25
    jitter: float = 0.03
    mismatch: tuple[Op, ...] = (
        RGBShift(p=0.3),
        _NEXT_TO_NOTHING,
        BrightnessContrast(p=1.0, brightness=0.1, contrast=0.1),
        OneOf((ShrinkGrow(), Sharpen())),
    )
    shift: tuple[float, float] = (0.03, 0.015)
    scale: float = 0.95
    elastic: tuple[float, float] = (50.0, 7.0)
    mask_sizes: tuple[int, int] = (192, 256)
    ratios: tuple[float, ...] = (0.25, 0.5, 0.75, 1.0, 1.0, 1.0)
    shared: tuple[Op, ...] = (
        RGBShift(p=0.3),
        dataclasses.replace(_NEXT_TO_NOTHING, p=0.3),
        BrightnessContrast(p=0.3, brightness=0.3, contrast=0.3),
        JPEG(p=0.5, quality=(40, 100)),
    )

    def __post_init__(self) -> None:
        if not 0 <= self.margin[0] <= self.margin[1] <= min(_LOOSE):
            raise ValueError(
                f"margin {self.margin}: least and greatest must be in order, from 0 to "
                f"{min(_LOOSE)}, which the loose crop has below the face"
            )

    def pair(self, example: Example, draw: np.random.Generator) -> tuple[Example, Example]:
        """The real example and a fake of it.

        Args:
          example: a real one with dense landmarks, or with landmarks, 5 or of a layout of
            `blend.regions`; it is left as it is.
          draw: everything is drawn from it.

        Returns:
          Two examples of `size` pixels with the same landmarks and box: label 0 with a mask of
          zeros, and label 1 with the mask of the blend, in 255ths.

        Raises:
          ValueError: the example is a fake, or has no landmarks, or of an unknown number.
        """
        if example.label != 0:
            raise ValueError(
                f"label {example.label}: self-blended images are made of real ones, label 0"
            )
        if example.landmarks_dense is None and example.landmarks is None:
            raise ValueError(
                "no landmarks: self-blended images need 5, 68, 81 or 468; read the source with "
                "fields=('landmarks_dense',) or ('landmarks',)"
            )
        example = dataclasses.replace(example, mask=None)
        if draw.random() < self.mirror:
            example = Flip().apply(example, draw)
        given = example.landmarks if example.landmarks_dense is None else example.landmarks_dense
        assert given is not None  # mirrored at most
        points = dense_points(given, draw, self.jitter)
        shape = example.image.shape[:2]
        box = _box(points, shape)
        loose = _around(box, _LOOSE, shape)
        square = _square(example.box, shape)
        if square is not None:  # what the pair shows is part of the images that are blended
            loose = _union(loose, _around(square, (self.margin[1],) * 4, shape))
        corner = np.array([loose.left, loose.top], np.float32)
        blend = self.blend(_cut(example.image, loose), points - corner, draw)

        shared = int(draw.integers(2**32))
        if square is None:
            face: Window | np.ndarray = _around(box, draw.uniform(*self.margin, 4), shape)
            face = face._replace(top=face.top - loose.top, left=face.left - loose.left)
        else:
            face = self._draw_square(square - corner, draw)
        moved = example.with_points(lambda points: points - corner)
        made = ((blend.target, np.zeros_like(blend.mask)), (blend.fake, blend.mask))
        real, fake = (
            self._finish(
                dataclasses.replace(moved, image=image, label=label, mask=mask), face, shared
            )
            for label, (image, mask) in enumerate(made)
        )
        return real, fake

    def blend(self, image: np.ndarray, points: np.ndarray, draw: np.random.Generator) -> Blend:
        """An image blended with a changed copy of itself.

        Args:
          image: uint8 RGB [H, W, 3].
          points: [K, 2] of a layout of `blend.regions`, in pixels of the image.
          draw: of everything.
        """
        shape = image.shape[:2]
        region = tuple(REGIONS)[draw.integers(len(REGIONS))]
        hulls = region_hulls(points, region, forehead=draw.random() >= self.without_forehead)
        changed = apply_ops(Example(image, 0), self.mismatch, int(draw.integers(2**32))).image
        source, target = (changed, image) if draw.random() < 0.5 else (image, changed)

        matrix = draw_move(shape, draw, shift=self.shift, scale=self.scale)
        height, width = draw.integers(self.mask_sizes[0], self.mask_sizes[1] + 1, 2)
        alpha, sigma = self.elastic
        mask = fill(hulls, shape, matrix)
        soft = deform(mask, (int(height), int(width)), draw, alpha=alpha, sigma=sigma)
        soft = soften(soft, draw, sizes=_ODD_SIZES, sigmas=(5, 45))
        ratio = self.ratios[draw.integers(len(self.ratios))]
        mask = to_uint8(soft, shape, ratio)
        return Blend(target, _mix(source, target, mask, matrix), mask)

    def _draw_square(self, square: np.ndarray, draw: np.random.Generator) -> np.ndarray:
        """A square [2, 2] with margins, of which none leaves the range, at each side."""
        side = square[1, 0] - square[0, 0]
        margin = draw.uniform(*self.margin)
        slack = min(margin - self.margin[0], self.margin[1] - margin)
        shift = draw.uniform(-slack, slack, 2)
        return square + side * (shift + np.array([[-margin], [margin]]))

    def _finish(self, example: Example, face: Window | np.ndarray, seed: int) -> Example:
        example = apply_ops(example, self.shared, seed)
        if isinstance(face, Window):
            return face.apply(example, (self.size, self.size), cv2.INTER_LINEAR)
        return cut_square(example, face.reshape(-1), margin=1.0, size=self.size)


def _mix(
    source: np.ndarray, target: np.ndarray, mask: np.ndarray, matrix: np.ndarray
) -> np.ndarray:
    """m·source + (1 − m)·target, the source moved by `matrix`; computed where the mask is not 0."""
    left, top, width, height = cv2.boundingRect(mask)
    fake = target.copy()
    if width and height:
        inside = (slice(top, top + height), slice(left, left + width))
        moved = matrix.copy()
        moved[:, 2] -= (left, top)
        # At the image's border the source is mirrored, not black: an edge would give fakes away.
        part = cv2.warpAffine(
            source,
            moved,
            (width, height),
            flags=cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REFLECT_101,
        )
        weight = mask[inside].astype(np.float32) / np.float32(255)
        fake[inside] = cv2.blendLinear(part, target[inside], weight, 1 - weight)
    return fake


def _box(points: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Least and greatest x and y of points [K, 2] within the image, or of the image where none are.

    Returns:
      float64 [2, 2], (x, y) at the upper left and the lower right.
    """
    size = np.array([shape[1], shape[0]], np.float64)
    finite = points[np.isfinite(points).all(axis=1)].astype(np.float64)
    if len(finite):
        box = np.clip([finite.min(0), finite.max(0)], 0, size)
        if (box[1] - box[0] >= 2).all():
            return box
    return np.array([[0.0, 0.0], size])


def _square(box: np.ndarray | None, shape: tuple[int, int]) -> np.ndarray | None:
    """The upright square around a face's box, float64 [2, 2]; None without a box in the image."""
    if box is None or not np.isfinite(box).all():
        return None
    low, high = np.asarray(box, np.float64).reshape(2, 2)
    centre, side = (low + high) / 2, float((high - low).max())
    if side < 2 or (centre < 0).any() or (centre > (shape[1], shape[0])).any():
        return None
    return np.array([centre - side / 2, centre + side / 2])


def _union(first: Window, second: Window) -> Window:
    top, left = min(first.top, second.top), min(first.left, second.left)
    bottom = max(first.top + first.height, second.top + second.height)
    right = max(first.left + first.width, second.left + second.width)
    return Window(top, left, bottom - top, right - left)


def _around(
    box: np.ndarray, margins: np.ndarray | tuple[float, ...], shape: tuple[int, int]
) -> Window:
    """A box with margins at left, top, right and bottom, in shares of its size, within an image."""
    left, top, right, bottom = np.asarray(margins) * np.tile(box[1] - box[0], 2)
    x0, y0 = np.maximum(np.floor(box[0] - (left, top)), 0).astype(int)
    x1, y1 = np.minimum(np.ceil(box[1] + (right, bottom)), (shape[1], shape[0])).astype(int)
    return Window(int(y0), int(x0), int(y1 - y0), int(x1 - x0))


def _cut(image: np.ndarray, window: Window) -> np.ndarray:
    part = window.cut(image, (window.width, window.height), cv2.INTER_LINEAR)
    return np.ascontiguousarray(part)
