"""Detectors that read the class's token of a transformer, and train little of it."""

from __future__ import annotations

from typing import Annotated, Any

import jax
import jax.numpy as jnp

from matnet_jax.backbones import BACKBONES, find_backbone
from matnet_jax.backbones.vit import CLASS_ATTENTION, CLASS_TOKEN, VITS
from matnet_jax.detectors.backboned import BackboneDetector
from matnet_jax.detectors.fields import (
    CLIP_MEAN,
    CLIP_STD,
    IMAGE_SIZE,
    PIXEL_MEAN,
    PIXEL_STD,
    NumClasses,
)
from matnet_jax.nn.layers import Dense


class ClassTokenDetector(BackboneDetector):
    """A dense layer on the class's token.

    Attributes:
      backbone: a transformer of `matnet_jax.backbones.BACKBONES`.
      image_size: side in pixels.
      mean: of pixels in [0, 1], a channel each; CLIP's.
      std: of pixels in [0, 1], a channel each; CLIP's.
      num_classes: logits.
    """

    backbone: str = "clip-vit-l-14"
    image_size: Annotated[int, IMAGE_SIZE] = 224
    mean: Annotated[tuple[float, float, float], PIXEL_MEAN] = CLIP_MEAN
    std: Annotated[tuple[float, float, float], PIXEL_STD] = CLIP_STD
    num_classes: NumClasses = 2

    def setup(self) -> None:
        """Makes the submodules."""
        self.features = self.make_backbone()
        # In float32: two numbers an image.
        self.head = Dense(self.num_classes)

    def represent(self, token: jax.Array) -> jax.Array:
        """What the dense layer sees of the token: [B, C] float32 -> [B, C]; the token itself."""
        return token

    def __call__(
        self, images: jax.Array, *, train: bool = False, weight: jax.Array | None = None
    ) -> dict[str, jax.Array]:
        """Images [B, H, W, 3], normalised floats -> logits, feature and class_attention.

        ``logits`` [B, 2] float32; ``feature`` [B, C] float32, see `represent`; ``class_attention``
        [B, h, w, 1] float32, what the class's token takes of each patch in the last block, the mean
        over heads.
        """
        stages = self.endpoints(images, train=train, weight=weight)
        feature = self.represent(stages[CLASS_TOKEN][:, 0, 0].astype(jnp.float32))
        attention = jnp.mean(stages[CLASS_ATTENTION], axis=-1, keepdims=True)
        return {"logits": self.head(feature), "feature": feature, "class_attention": attention}

    def heatmaps(self, out: Any) -> dict[str, jax.Array]:
        """What the class's token takes of each patch."""
        return {"class_attention": out["class_attention"]}


def check_transformer(model: ClassTokenDetector, **sections: Any) -> None:
    """Raises ValueError where the backbone has no class's token; a `Family.check`."""
    del sections
    find_backbone(model.backbone)
    if CLASS_TOKEN not in model.make_backbone().endpoint_channels:
        known = ", ".join(name for name in BACKBONES if name in VITS)
        raise ValueError(
            f"{model.backbone} is no transformer with a class token; there are {known}"
        )
