"""Augmentations: frozen dataclasses that map (uint8 RGB image, random generator) to an image.

Each is deterministic in its generator, keeps shape and dtype, and draws whether it acts with its
own probability `p`. Presets are tuples of them, applied in order.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from typing import Protocol

import cv2
import numpy as np

Range = tuple[float, float]


class Op(Protocol):
    """One augmentation, which acts with probability `p`."""

    @property
    def p(self) -> float: ...

    def apply(self, image: np.ndarray, draw: np.random.Generator) -> np.ndarray:
        """uint8 RGB [H, W, 3] -> the same shape and type."""
        ...


def apply_ops(image: np.ndarray, ops: Sequence[Op], seed: int) -> np.ndarray:
    """Applies `ops` in order, each with its probability; a pure function of image and seed.

    Args:
      image: uint8 RGB [H, W, 3].
      ops: each has a random stream of its own, so that adding one leaves the others' draws alone.
      seed: 32 bits.
    """
    for position, op in enumerate(ops):
        draw = np.random.Generator(np.random.Philox(key=[seed, position]))
        if draw.random() < op.p:
            image = op.apply(image, draw)
    return image


def fit_to_size(image: np.ndarray, size: int) -> np.ndarray:
    """The centre square of an image at `size` pixels; untouched where it has that size already."""
    height, width = image.shape[:2]
    if height != width:
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        image = image[top : top + side, left : left + side]
    if image.shape[0] == size:
        return image
    shrinks = image.shape[0] > size
    return cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA if shrinks else 1)


@functools.cache
def _noise_bank() -> np.ndarray:
    """Standard normal draws, cut at random places: drawing them anew costs 5 ms an image."""
    return np.random.default_rng(0).standard_normal(1 << 22, np.float32)


@dataclasses.dataclass(frozen=True)
class Flip:
    """Mirrors left and right."""

    p: float = 0.5

    def apply(self, image: np.ndarray, draw: np.random.Generator) -> np.ndarray:
        return cv2.flip(image, 1)


@dataclasses.dataclass(frozen=True)
class HueSaturationValue:
    """Shifts hue (degrees), saturation and value (of 255), each within ± its limit."""

    p: float = 0.5
    hue: float = 10.0
    saturation: float = 20.0
    value: float = 20.0

    def apply(self, image: np.ndarray, draw: np.random.Generator) -> np.ndarray:
        hue, saturation, value = draw.uniform(-1, 1, 3) * (self.hue, self.saturation, self.value)
        # FULL: hue in 256 steps, so that a shift wraps by itself; and the way back is faster.
        hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV_FULL)
        steps = np.arange(256)
        tables = np.stack(
            [
                (steps + hue * 256 / 360) % 256,
                np.clip(steps + saturation, 0, 255),
                np.clip(steps + value, 0, 255),
            ],
            axis=-1,
        ).astype(np.uint8)
        return cv2.cvtColor(cv2.LUT(hsv, tables[None]), cv2.COLOR_HSV2RGB_FULL)


@dataclasses.dataclass(frozen=True)
class BrightnessContrast:
    """x·(1 + c) + 255·b, with c and b within ± their limits."""

    p: float = 0.5
    brightness: float = 0.15
    contrast: float = 0.15

    def apply(self, image: np.ndarray, draw: np.random.Generator) -> np.ndarray:
        contrast, brightness = draw.uniform(-1, 1, 2) * (self.contrast, self.brightness)
        table = np.clip(np.arange(256) * (1 + contrast) + 255 * brightness, 0, 255)
        return cv2.LUT(image, table.astype(np.uint8))


@dataclasses.dataclass(frozen=True)
class GaussianNoise:
    """Adds noise of a standard deviation (of 255) drawn from `sigma`."""

    p: float = 0.5
    sigma: Range = (2.0, 8.0)

    def apply(self, image: np.ndarray, draw: np.random.Generator) -> np.ndarray:
        bank = _noise_bank()
        start = int(draw.integers(max(bank.size - image.size, 1)))
        noise = np.resize(bank[start : start + image.size], image.shape)
        noise = noise * np.float32(draw.uniform(*self.sigma))
        return cv2.add(image, noise, dtype=cv2.CV_8U)


@dataclasses.dataclass(frozen=True)
class GaussianBlur:
    """Blurs with a standard deviation in pixels drawn from `sigma`."""

    p: float = 0.5
    sigma: Range = (0.3, 1.5)

    def apply(self, image: np.ndarray, draw: np.random.Generator) -> np.ndarray:
        return cv2.GaussianBlur(image, (0, 0), float(draw.uniform(*self.sigma)))


@dataclasses.dataclass(frozen=True)
class MotionBlur:
    """Averages along a line of odd length in pixels, at any angle."""

    p: float = 0.5
    length: tuple[int, int] = (3, 7)

    def apply(self, image: np.ndarray, draw: np.random.Generator) -> np.ndarray:
        length = int(draw.integers(self.length[0], self.length[1] + 1)) | 1
        kernel = np.zeros((length, length), np.float32)
        kernel[length // 2] = 1.0
        centre = ((length - 1) / 2, (length - 1) / 2)
        turn = cv2.getRotationMatrix2D(centre, float(draw.uniform(0, 180)), 1.0)
        line = np.asarray(cv2.warpAffine(kernel, turn, (length, length)))
        return cv2.filter2D(image, -1, line / line.sum())


@dataclasses.dataclass(frozen=True)
class JPEG:
    """Compresses and decompresses at a quality drawn from `quality`."""

    p: float = 0.5
    quality: tuple[int, int] = (50, 95)

    def apply(self, image: np.ndarray, draw: np.random.Generator) -> np.ndarray:
        quality = int(draw.integers(self.quality[0], self.quality[1] + 1))
        _, encoded = cv2.imencode(
            ".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality]
        )
        return np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR_RGB))


@dataclasses.dataclass(frozen=True)
class Downscale:
    """Shrinks to a fraction of the size drawn from `scale`, and back."""

    p: float = 0.5
    scale: Range = (0.4, 0.9)

    def apply(self, image: np.ndarray, draw: np.random.Generator) -> np.ndarray:
        height, width = image.shape[:2]
        scale = draw.uniform(*self.scale)
        small = (max(1, round(width * scale)), max(1, round(height * scale)))
        shrunk = cv2.resize(image, small, interpolation=cv2.INTER_AREA)
        return cv2.resize(shrunk, (width, height), interpolation=cv2.INTER_LINEAR)


@dataclasses.dataclass(frozen=True)
class Grey:
    """Drops colour."""

    p: float = 0.1

    def apply(self, image: np.ndarray, draw: np.random.Generator) -> np.ndarray:
        return cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)


@dataclasses.dataclass(frozen=True)
class RandomCrop:
    """Cuts a square of a fraction of the size drawn from `scale`, resized back."""

    p: float = 0.5
    scale: Range = (0.85, 1.0)

    def apply(self, image: np.ndarray, draw: np.random.Generator) -> np.ndarray:
        height, width = image.shape[:2]
        scale = draw.uniform(*self.scale)
        h, w = max(1, int(height * scale)), max(1, int(width * scale))
        top, left = draw.integers(0, height - h + 1), draw.integers(0, width - w + 1)
        return cv2.resize(image[top : top + h, left : left + w], (width, height))


@dataclasses.dataclass(frozen=True)
class Cutout:
    """Fills a rectangle, each side a fraction of the image's drawn from `size`, with mid-grey."""

    p: float = 0.5
    size: Range = (0.1, 0.3)

    def apply(self, image: np.ndarray, draw: np.random.Generator) -> np.ndarray:
        height, width = image.shape[:2]
        h, w = (max(1, int(n * draw.uniform(*self.size))) for n in (height, width))
        top, left = draw.integers(0, height - h + 1), draw.integers(0, width - w + 1)
        image = image.copy()
        image[top : top + h, left : left + w] = 128
        return image


PRESETS: dict[str, tuple[Op, ...]] = {
    "none": (),
    # The released code's augment0, which it uses for FaceForensics++.
    "flip": (Flip(),),
    # In place of its augment1: photometric changes and mild degradation.
    "standard": (
        Flip(),
        HueSaturationValue(),
        BrightnessContrast(),
        GaussianNoise(),
        GaussianBlur(),
        JPEG(),
    ),
    # In place of its augment2: everything, stronger.
    "strong": (
        Flip(),
        RandomCrop(scale=(0.7, 1.0)),
        HueSaturationValue(hue=20.0, saturation=40.0, value=40.0),
        BrightnessContrast(brightness=0.3, contrast=0.3),
        Downscale(p=0.3, scale=(0.25, 0.9)),
        GaussianBlur(p=0.3, sigma=(0.3, 3.0)),
        MotionBlur(p=0.2, length=(3, 11)),
        GaussianNoise(sigma=(2.0, 20.0)),
        JPEG(quality=(30, 95)),
        Grey(),
        Cutout(p=0.3),
    ),
}
