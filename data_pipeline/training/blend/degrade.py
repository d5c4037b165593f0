"""What happens to photos and videos on their way, to the real and the fake of a pair alike.

A detector that sees degraded fakes alone, or clean reals alone, learns the degradation. Here both
of a pair get the same draws: blur by itself, noise or compression says nothing about the label.
"""

from __future__ import annotations

import dataclasses
import functools

import cv2
import numpy as np

from data_pipeline.training.blend.ranges import check_probabilities, check_range
from data_pipeline.training.disturb import h264
from data_pipeline.training.errors import DataError
from data_pipeline.training.ops.base import Op, Range
from data_pipeline.training.ops.photometric import (
    JPEG,
    NOISE_UNIT,
    NOISE_ZERO,
    Downscale,
    GaussianBlur,
    GaussianNoise,
    Grey,
    MotionBlur,
    Photometric,
    normal_noise,
)


@dataclasses.dataclass(frozen=True)
class WhiteBalance(Photometric):
    """Multiplies red and blue each by a factor whose logarithm is within ± `limit`."""

    p: float = 0.3
    limit: float = 0.15

    def change(self, image: np.ndarray, draw: np.random.Generator) -> np.ndarray:
        """See the class."""
        red, blue = np.exp(draw.uniform(-self.limit, self.limit, 2))
        tables = np.arange(256)[:, None] * np.array([red, 1.0, blue])
        return np.asarray(cv2.LUT(image, np.clip(np.rint(tables), 0, 255).astype(np.uint8)[None]))


@dataclasses.dataclass(frozen=True)
class ShotNoise(Photometric):
    """Noise of counted photons: its variance is the brightness, by so many photons at white.

    Poisson's distribution is replaced by the normal one of its mean and variance, which at tens of
    photons it is like.
    """

    p: float = 0.3
    photons: Range = (100.0, 2000.0)

    def change(self, image: np.ndarray, draw: np.random.Generator) -> np.ndarray:
        """See the class."""
        noise = normal_noise(image.shape, draw).astype(np.float32) - NOISE_ZERO
        photons = np.exp(draw.uniform(*np.log(self.photons)))
        deviation = np.sqrt(255 * np.arange(256) / photons) / NOISE_UNIT
        noise *= cv2.LUT(image, deviation.astype(np.float32))
        return cv2.add(image, noise, dtype=cv2.CV_8U)


@dataclasses.dataclass(frozen=True)
class H264(Photometric):
    """A key frame of a video by x264, at a constant rate factor drawn from `crf`.

    `change` raises DataError where PyAV is missing.
    """

    p: float = 0.3
    crf: tuple[int, int] = (18, 40)

    def change(self, image: np.ndarray, draw: np.random.Generator) -> np.ndarray:
        """See the class."""
        crf = int(draw.integers(self.crf[0], self.crf[1] + 1))
        try:
            [done] = h264([image], crf, preset="veryfast")  # at half the cost of "medium"
        except ImportError as error:
            raise DataError(
                "config.degrade.h264 is above 0, and PyAV, which compresses videos, is not "
                f"installed ({error}): pip install 'matnet-jax[video]', or set it to 0"
            ) from error
        return done


@dataclasses.dataclass(frozen=True)
class Degrade:
    """What both of a pair go through after blending, by the same draws; all of it off by default.

    It is done to the image that was blended, before the face is cut out of it, in this order.

    Attributes:
      white_balance: probability of other amounts of red and blue.
      white_balance_limit: of the logarithm of either.
      blur: probability of a Gaussian blur, of a camera out of focus.
      blur_sigma: its least and greatest standard deviation, in pixels.
      motion: probability of a motion blur.
      motion_length: least and greatest, in pixels.
      noise: probability of Gaussian noise.
      noise_sigma: its least and greatest standard deviation, of 255.
      shot: probability of shot noise.
      shot_photons: least and greatest number of them at white: few are noisy.
      grey: probability that colour is dropped.
      jpeg: probability of JPEG.
      jpeg_quality: least and greatest, of both times.
      rescale: probability that the whole image is shrunk, and grown back.
      rescale_to: least and greatest share of its size.
      h264: probability of a video's compression, which needs PyAV.
      h264_crf: least and greatest constant rate factor.
      jpeg_again: probability of JPEG after all that.
      small: probability that the file was small: the whole image is shrunk, a JPEG, and grown back.
      small_to: least and greatest share of its size.
      small_quality: least and greatest, of that JPEG.

    Raises:
      ValueError: no probability, or a range out of order.
    """

    white_balance: float = 0.0
    white_balance_limit: float = 0.15
    blur: float = 0.0
    blur_sigma: Range = (0.3, 2.0)
    motion: float = 0.0
    motion_length: tuple[int, int] = (3, 9)
    noise: float = 0.0
    noise_sigma: Range = (1.0, 12.0)
    shot: float = 0.0
    shot_photons: Range = (100.0, 2000.0)
    grey: float = 0.0
    jpeg: float = 0.0
    jpeg_quality: tuple[int, int] = (40, 95)
    rescale: float = 0.0
    rescale_to: Range = (0.25, 0.9)
    h264: float = 0.0
    h264_crf: tuple[int, int] = (18, 40)
    jpeg_again: float = 0.0
    small: float = 0.0
    small_to: Range = (0.25, 0.8)
    small_quality: tuple[int, int] = (60, 98)

    def __post_init__(self) -> None:
        check_probabilities(self, _STEPS)
        check_range("blur_sigma", self.blur_sigma, 0.1)
        check_range("motion_length", self.motion_length, 1)
        check_range("noise_sigma", self.noise_sigma)
        check_range("shot_photons", self.shot_photons, 1)
        check_range("jpeg_quality", self.jpeg_quality, 1, 100)
        check_range("rescale_to", self.rescale_to, 0.01, 1)
        check_range("h264_crf", self.h264_crf, 0, 51)
        check_range("small_to", self.small_to, 0.01, 1)
        check_range("small_quality", self.small_quality, 1, 100)
        if self.white_balance_limit < 0:
            raise ValueError(f"white_balance_limit {self.white_balance_limit}: not negative")

    @functools.cached_property
    def ops(self) -> tuple[Op, ...]:
        """The steps in order; none where all are off.

        A step that is off keeps its place, so that the others' draws do not depend on it.
        """
        if not any(getattr(self, name) for name in _STEPS):
            return ()
        return (
            WhiteBalance(self.white_balance, self.white_balance_limit),
            GaussianBlur(self.blur, self.blur_sigma),
            MotionBlur(self.motion, self.motion_length),
            GaussianNoise(self.noise, self.noise_sigma),
            ShotNoise(self.shot, self.shot_photons),
            Grey(self.grey),
            JPEG(self.jpeg, self.jpeg_quality),
            Downscale(self.rescale, self.rescale_to),
            H264(self.h264, self.h264_crf),
            JPEG(self.jpeg_again, self.jpeg_quality),
            Downscale(self.small, self.small_to, self.small_quality),
        )


_STEPS = (
    *("white_balance", "blur", "motion", "noise", "shot", "grey", "jpeg", "rescale", "h264"),
    *("jpeg_again", "small"),
)
