"""Augmentations that change an image's pixels where they are: mask, landmarks and box stay."""

from __future__ import annotations

import abc
import dataclasses
import functools
import math

import cv2
import numpy as np

from data_pipeline.training.example import Example
from data_pipeline.training.ops.base import Range


class Photometric(abc.ABC):
    """An op on the image alone; a subclass says how it changes, and with what probability `p`."""

    @abc.abstractmethod
    def change(self, image: np.ndarray, draw: np.random.Generator) -> np.ndarray:
        """uint8 RGB [H, W, 3] -> the same shape and type; the image given is left as it is."""

    def apply(self, example: Example, draw: np.random.Generator) -> Example:
        """See `Op.apply`."""
        return dataclasses.replace(example, image=self.change(example.image, draw))


NOISE_UNIT, NOISE_ZERO = 32, 128  # of `normal_noise`: the standard deviation, and what means 0


@functools.cache
def _noise_bank() -> np.ndarray:
    """Standard normal draws, cut at random places: drawing them anew costs 5 ms an image.

    In bytes, which a core's cache holds more of; one in 14,000 is beyond them, and cut off.
    """
    draws = np.random.default_rng(0).standard_normal(1 << 22, np.float32)
    bank = np.clip(np.rint(draws * NOISE_UNIT) + NOISE_ZERO, 0, 255).astype(np.uint8)
    bank.flags.writeable = False
    return bank


def normal_noise(shape: tuple[int, ...], draw: np.random.Generator) -> np.ndarray:
    """Normal noise, uint8 of a shape: `NOISE_UNIT` is a standard deviation, `NOISE_ZERO` is 0."""
    bank, size = _noise_bank(), math.prod(shape)
    start = int(draw.integers(max(bank.size - size, 1)))
    part = bank[start : start + size]
    return part.reshape(shape) if part.size == size else np.resize(part, shape)


@dataclasses.dataclass(frozen=True)
class HueSaturationValue(Photometric):
    """Shifts hue (degrees), saturation and value (of 255), each within ± its limit."""

    p: float = 0.5
    hue: float = 10.0
    saturation: float = 20.0
    value: float = 20.0

    def change(self, image: np.ndarray, draw: np.random.Generator) -> np.ndarray:
        """See the class."""
        limits = (self.hue * 256 / 360, self.saturation, self.value)
        hue, saturation, value = np.floor(draw.uniform(-1, 1, 3) * limits).astype(int).tolist()
        # FULL: hue in 256 steps, so that a shift wraps by itself; and the way back is faster.
        hsv = np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2HSV_FULL))
        # A row of shifts, for a loop as long as it: by three channels, loops would be three long.
        row = np.zeros(hsv.shape[1:], np.uint8)
        row[:, 0] = hue % 256
        hsv += row
        # Twice, since OpenCV is slow at adding numbers below 0.
        shift = np.array([0.0, saturation, value, 0.0])
        cv2.add(hsv, np.maximum(shift, 0), dst=hsv)
        cv2.subtract(hsv, np.maximum(-shift, 0), dst=hsv)
        return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB_FULL)


@dataclasses.dataclass(frozen=True)
class BrightnessContrast(Photometric):
    """x·(1 + c) + 255·b, with c and b within ± their limits."""

    p: float = 0.5
    brightness: float = 0.15
    contrast: float = 0.15

    def change(self, image: np.ndarray, draw: np.random.Generator) -> np.ndarray:
        """See the class."""
        contrast, brightness = draw.uniform(-1, 1, 2) * (self.contrast, self.brightness)
        return cv2.addWeighted(image, 1 + contrast, image, 0.0, 255 * brightness)


@dataclasses.dataclass(frozen=True)
class GaussianNoise(Photometric):
    """Adds noise of a standard deviation (of 255) drawn from `sigma`."""

    p: float = 0.5
    sigma: Range = (2.0, 8.0)

    def change(self, image: np.ndarray, draw: np.random.Generator) -> np.ndarray:
        """See the class."""
        noise = normal_noise(image.shape, draw)
        unit = float(draw.uniform(*self.sigma)) / NOISE_UNIT
        return cv2.addWeighted(image, 1.0, noise, unit, -NOISE_ZERO * unit)


@dataclasses.dataclass(frozen=True)
class GaussianBlur(Photometric):
    """Blurs with a standard deviation in pixels drawn from `sigma`."""

    p: float = 0.5
    sigma: Range = (0.3, 1.5)

    def change(self, image: np.ndarray, draw: np.random.Generator) -> np.ndarray:
        """See the class."""
        sigma = float(draw.uniform(*self.sigma))
        # As many taps as `GaussianBlur` takes, whose own loop for bytes is slower by a third.
        kernel = cv2.getGaussianKernel(round(6 * sigma + 1) | 1, sigma, cv2.CV_32F)
        return cv2.sepFilter2D(image, -1, kernel, kernel)


@dataclasses.dataclass(frozen=True)
class MotionBlur(Photometric):
    """Averages along a line of odd length in pixels, at any angle."""

    p: float = 0.5
    length: tuple[int, int] = (3, 7)

    def change(self, image: np.ndarray, draw: np.random.Generator) -> np.ndarray:
        """See the class."""
        length = int(draw.integers(self.length[0], self.length[1] + 1)) | 1
        kernel = np.zeros((length, length), np.float32)
        kernel[length // 2] = 1.0
        centre = ((length - 1) / 2, (length - 1) / 2)
        turn = cv2.getRotationMatrix2D(centre, float(draw.uniform(0, 180)), 1.0)
        line = np.asarray(cv2.warpAffine(kernel, turn, (length, length)))
        return cv2.filter2D(image, -1, line / line.sum())


@dataclasses.dataclass(frozen=True)
class JPEG(Photometric):
    """Compresses and decompresses at a quality drawn from `quality`."""

    p: float = 0.5
    quality: tuple[int, int] = (50, 95)

    def change(self, image: np.ndarray, draw: np.random.Generator) -> np.ndarray:
        """See the class."""
        quality = int(draw.integers(self.quality[0], self.quality[1] + 1))
        _, encoded = cv2.imencode(
            ".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality]
        )
        return np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR_RGB))


@dataclasses.dataclass(frozen=True)
class Downscale(Photometric):
    """Shrinks to a fraction of the size drawn from `scale`, and back.

    With a range of `quality`, what was shrunk is a JPEG before it grows: its blocks grow along, as
    those of a small file do when a face is cut out of it.
    """

    p: float = 0.5
    scale: Range = (0.4, 0.9)
    quality: tuple[int, int] | None = None

    def change(self, image: np.ndarray, draw: np.random.Generator) -> np.ndarray:
        """See the class."""
        height, width = image.shape[:2]
        scale = draw.uniform(*self.scale)
        small = (max(1, round(width * scale)), max(1, round(height * scale)))
        shrunk = cv2.resize(image, small, interpolation=cv2.INTER_AREA)
        if self.quality is not None:
            shrunk = JPEG(quality=self.quality).change(shrunk, draw)
        return cv2.resize(shrunk, (width, height), interpolation=cv2.INTER_LINEAR)


@dataclasses.dataclass(frozen=True)
class Grey(Photometric):
    """Drops colour."""

    p: float = 0.1

    def change(self, image: np.ndarray, draw: np.random.Generator) -> np.ndarray:
        """See the class."""
        return cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)


@dataclasses.dataclass(frozen=True)
class Cutout(Photometric):
    """Fills a rectangle, each side a fraction of the image's drawn from `size`, with mid-grey."""

    p: float = 0.5
    size: Range = (0.1, 0.3)

    def change(self, image: np.ndarray, draw: np.random.Generator) -> np.ndarray:
        """See the class."""
        height, width = image.shape[:2]
        h, w = (max(1, int(n * draw.uniform(*self.size))) for n in (height, width))
        top, left = draw.integers(0, height - h + 1), draw.integers(0, width - w + 1)
        image = image.copy()
        image[top : top + h, left : left + w] = 128
        return image
