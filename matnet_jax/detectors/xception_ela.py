"""Xception on error levels: what a JPEG of known quality changes in a face.

A row of F3-Net's comparison (Qian et al., ECCV 2020), after Gunawan et al., "Development of photo
forensics algorithm by detecting photoshop manipulation using error level analysis", 2017. Nobody
published the code: a reconstruction.
"""

from __future__ import annotations

from typing import Annotated, Any

import jax
import jax.numpy as jnp
from jax import lax

from matnet_jax.detectors.base import Family
from matnet_jax.detectors.classifier import CrossEntropy, PlainClassifier, check_backbone
from matnet_jax.detectors.fields import IMAGE_SIZE, Range
from matnet_jax.detectors.output import MATOutput
from matnet_jax.nn.jpeg import error_levels

QUALITY = Range(lambda v: 1 <= v <= 100, "from 1 to 100")


class XceptionELA(PlainClassifier):
    """A plain classifier that sees an image's error levels in its place.

    They are of the image as the network gets it, at `image_size`, so that blocks lie on its grid.

    Attributes:
      backbone: a name of `matnet_jax.backbones.BACKBONES`.
      image_size: side in pixels that images are prepared at.
      quality: of the JPEG, as libjpeg counts it.
    """

    backbone: str = "xception"
    image_size: Annotated[int, IMAGE_SIZE] = 299
    quality: Annotated[int, QUALITY] = 90

    @property
    def description(self) -> str:
        """What it is, in a few words, for messages."""
        return f"{self.backbone} on error levels at JPEG quality {self.quality}"

    def __call__(self, images: jax.Array, **arguments: Any) -> MATOutput:
        """Images [B, H, W, 3], normalised floats -> logits and global feature."""
        self.check_images(images)
        return super().__call__(self.levels(images), **arguments)

    def levels(self, images: jax.Array) -> jax.Array:
        """Error levels, 0 to 255, normalised as images are: [B, H, W, 3]."""
        mean, std = jnp.asarray(self.mean), jnp.asarray(self.std)
        pixels = jnp.clip(jnp.round((images.astype(jnp.float32) * std + mean) * 255), 0, 255)
        levels = lax.stop_gradient(error_levels(pixels.astype(jnp.int32), self.quality))
        return (levels / 255 - mean) / std


FAMILY = Family(
    title="Xception-ELA",
    model=XceptionELA,
    sections={"losses": CrossEntropy},
    check=check_backbone,
    recipes={"paper": {"optimizer": {"learning_rate": 2e-4, "weight_decay": 0.0}}},
    provenance="reconstruction",
)
