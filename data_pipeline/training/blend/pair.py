"""What all kinds of pairs have in common: a real example in, a real and a fake of it out.

A kind says how an image is blended; what comes before and after is the same for all, so that pairs
of several kinds differ in nothing else.
"""

from __future__ import annotations

import abc
import dataclasses
from typing import ClassVar, Literal, NamedTuple

import cv2
import numpy as np

from data_pipeline.training.blend.breadth import Breadth
from data_pipeline.training.blend.degrade import Degrade
from data_pipeline.training.blend.regions import dense_points
from data_pipeline.training.blend.transforms import RGBShift
from data_pipeline.training.example import Example
from data_pipeline.training.narrow import cut_square
from data_pipeline.training.ops.base import Op, Range, apply_ops
from data_pipeline.training.ops.geometric import Flip
from data_pipeline.training.ops.photometric import JPEG, BrightnessContrast, HueSaturationValue
from data_pipeline.training.window import Window

_LOOSE = (0.5, 1.0, 0.5, 0.4)
"""Left, above, right and below the landmarks' box, in shares of its size; blended is within it."""
_LEAST_MARGIN = -0.2
# 0.3 of OpenCV's units, of which hue has two degrees each: hardly more than the way there and back.
NEXT_TO_NOTHING = HueSaturationValue(p=1.0, hue=0.6, saturation=0.3, value=0.3)


class Blend(NamedTuple):
    """What blending gives, all of the image's height and width.

    Attributes:
      target: uint8 RGB [H, W, 3], the real image.
      fake: uint8 RGB [H, W, 3]; where the mask is 0 it is the target.
      mask: uint8 [H, W], in 255ths how much of what was blended in is in the fake.
    """

    target: np.ndarray
    fake: np.ndarray
    mask: np.ndarray


@dataclasses.dataclass(frozen=True)
class FacePair(abc.ABC):
    """Makes a pair of a real example, see `PairOp`; a pure function of examples and generator.

    Attributes:
      size: of the pair's images in pixels.
      margin: around the face, least and greatest; 0.125 twice in validation. Below 0 the crop is
        tighter than the face. Where the example has
        the face's box: of an upright square, in its longer sides, shifted as far as no side leaves
        the range. Else of the landmarks' box: a share of its size drawn for each side, and the
        rectangle is stretched to a square.
      mirror: probability of a mirrored pair.
      outline: "dense": landmarks of the face's own outline; "five": a mean face over the 5 points.
      jitter: of the mean face that stands in for dense landmarks, see `dense_points`.
      shared: changes both of the pair by the same draw.
      breadth: changes the scene of both before that.
      degrade: what both go through after that.

    Raises:
      ValueError: a margin beyond the loose crop.
    """

    needs_donor: ClassVar[bool] = False
    """Whether another real example gives the face."""

    size: int = 380
    margin: Range = (0.05, 0.2)
    mirror: float = 0.5
    outline: Literal["dense", "five"] = "dense"
    jitter: float = 0.03
    shared: tuple[Op, ...] = (
        RGBShift(p=0.3),
        dataclasses.replace(NEXT_TO_NOTHING, p=0.3),
        BrightnessContrast(p=0.3, brightness=0.3, contrast=0.3),
        JPEG(p=0.5, quality=(40, 100)),
    )
    breadth: Breadth = dataclasses.field(default_factory=Breadth)
    degrade: Degrade = dataclasses.field(default_factory=Degrade)

    def __post_init__(self) -> None:
        if not _LEAST_MARGIN <= self.margin[0] <= self.margin[1] <= min(_LOOSE):
            raise ValueError(
                f"margin {self.margin}: least and greatest must be in order, from "
                f"{_LEAST_MARGIN} to {min(_LOOSE)}, which the loose crop has below the face"
            )

    @property
    def reads(self) -> tuple[str, ...]:
        """See `PairOp`."""
        return ("landmarks_dense",) if self.outline == "dense" else ("landmarks",)

    def pair(
        self, example: Example, draw: np.random.Generator, donor: Example | None = None
    ) -> tuple[Example, Example]:
        """The real example and a fake of it.

        Args:
          example: a real one with dense landmarks, or with landmarks, 5 or of a layout of
            `blend.regions`; it is left as it is.
          draw: everything is drawn from it.
          donor: another real one with as many landmarks, where `needs_donor`; else it is not read.

        Returns:
          Two examples of `size` pixels with the same landmarks and box: label 0 with a mask of
          zeros, and label 1 with the mask of the blend, in 255ths.

        Raises:
          ValueError: an example is a fake, or has no landmarks, or of an unknown number, or the
            donor is missing or has another number of them.
        """
        self._check(example)
        if self.needs_donor:
            self._check_donor(example, donor)
        else:
            donor = None
        example = dataclasses.replace(example, mask=None)
        if draw.random() < self.mirror:
            example = Flip().apply(example, draw)
            # A donor is chosen for how its face lies, and lies so in a mirror too.
            donor = None if donor is None else Flip().apply(donor, draw)
        points = dense_points(self._given(example), draw, self.jitter)
        shape = example.image.shape[:2]
        box = _box(points, shape)
        loose = _around(box, _LOOSE, shape)
        square = _square(example.box, shape)
        if square is not None:  # what the pair shows is part of the images that are blended
            loose = _union(loose, _around(square, (self.margin[1],) * 4, shape))
        corner = np.array([loose.left, loose.top], np.float32)
        moved = example.with_points(lambda points: points - corner)
        target = dataclasses.replace(moved, image=_cut(example.image, loose))
        blend = self._blend(target, points - corner, draw, donor)

        shared = int(draw.integers(2**32))
        if square is None:
            drawn = _around(box, draw.uniform(*self.margin, 4), shape)
            face: Window | np.ndarray = drawn._replace(
                top=drawn.top - loose.top, left=drawn.left - loose.left
            )
        else:
            face = self._draw_square(square - corner, draw)
        both = (
            dataclasses.replace(moved, image=blend.target, mask=np.zeros_like(blend.mask)),
            dataclasses.replace(moved, image=blend.fake, mask=blend.mask, label=1),
        )
        both = self.breadth.change(*both, (box if square is None else square) - corner, shared)
        real, fake = (self._finish(example, face, shared) for example in both)
        return real, fake

    @abc.abstractmethod
    def _blend(
        self, target: Example, points: np.ndarray, draw: np.random.Generator, donor: Example | None
    ) -> Blend:
        """How the fake is made.

        Args:
          target: image and landmarks, cut loosely around the face.
          points: [K, 2] of a layout of `blend.regions`, in pixels of the target.
          draw: of everything.
          donor: not None where `needs_donor`, with as many landmarks as the target.
        """

    def _given(self, example: Example) -> np.ndarray:
        """The landmarks that are gone by, [K, 2]."""
        dense = example.landmarks_dense if self.outline == "dense" else None
        given = example.landmarks if dense is None else dense
        if given is None:
            raise ValueError(
                f"no landmarks: {type(self).__name__} needs 5, 68, 81 or 468; read the source with "
                "fields=('landmarks_dense',) or ('landmarks',)"
            )
        return given

    def _check(self, example: Example) -> None:
        if example.label != 0:
            raise ValueError(
                f"label {example.label}: {type(self).__name__} makes fakes of real ones, label 0"
            )
        self._given(example)

    def _check_donor(self, example: Example, donor: Example | None) -> None:
        if donor is None:
            raise ValueError(
                f"no donor: {type(self).__name__} puts the face of another real example on this "
                "one; give pair(…, donor=…)"
            )
        self._check(donor)
        given, wanted = (len(self._given(e)) for e in (donor, example))
        if given != wanted:
            raise ValueError(
                f"the donor has {given} landmarks and the target {wanted}: give two with as many"
            )

    def _draw_square(self, square: np.ndarray, draw: np.random.Generator) -> np.ndarray:
        """A square [2, 2] with margins, of which none leaves the range, at each side."""
        side = square[1, 0] - square[0, 0]
        margin = draw.uniform(*self.margin)
        slack = min(margin - self.margin[0], self.margin[1] - margin)
        shift = draw.uniform(-slack, slack, 2)
        return square + side * (shift + np.array([[-margin], [margin]]))

    def _finish(self, example: Example, face: Window | np.ndarray, seed: int) -> Example:
        example = apply_ops(example, (*self.shared, *self.degrade.ops), seed)
        if isinstance(face, Window):
            return face.apply(example, (self.size, self.size), cv2.INTER_LINEAR)
        return cut_square(example, face.reshape(-1), margin=1.0, size=self.size)


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
