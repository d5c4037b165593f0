"""Fields that detectors on a backbone share."""

from __future__ import annotations

from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from matnet_jax.backbones import find_backbone
from matnet_jax.detectors.base import Preprocess

BACKBONE_OPTIONS = (
    "padding",
    "nominal_size",
    "width_coefficient",
    "depth_coefficient",
    "stochastic_depth_rate",
    "batch_norm_momentum",
    "batch_norm_epsilon",
    "same_max_pool",
)
"""Fields of a detector that go to its backbone, where None leaves its own value."""


def known_options(backbone: str, recipe: dict[str, Any]) -> dict[str, Any]:
    """A recipe's fields less the options that the backbone does not know."""
    known = find_backbone(backbone).options
    return {k: v for k, v in recipe.items() if k not in BACKBONE_OPTIONS or k in known}


class BackboneNetwork(nn.Module):
    """Fields and checks that MAT and the plain classifier share.

    Attributes:
      backbone: a name of `matnet_jax.backbones.BACKBONES`; it lists which of the options below it
        knows. One that it does not know is an error unless it is None.
      num_classes: logits.
      image_size: side in pixels that images are prepared at; any larger or smaller runs too.
      dtype: of computation; parameters, statistics, centers and losses stay float32.
      padding: "same", or "nominal" as the released code pads; None for the backbone's own.
      nominal_size: image size that "nominal" computes with; None for the backbone's native one.
      width_coefficient, depth_coefficient: EfficientNet's scaling; None for the variant's own.
      stochastic_depth_rate: of the last block; earlier ones less, linearly. None: its own.
      batch_norm_momentum, batch_norm_epsilon: the backbone's; None for its own.
      bn_group_size: images that share batch statistics, in the whole network; None for all of the
        global batch. Groups within a device are not exchanged between devices.
      same_max_pool: Xception's max-pools padded as Keras pads them.
      remat: the backbone's blocks are computed again in the backward pass, instead of kept.
      mean, std: of pixels in [0, 1], for `preprocess`.
    """

    backbone: str = "efficientnet-b4"
    num_classes: int = 2
    image_size: int = 380
    dtype: jnp.dtype = jnp.float32
    padding: Literal["same", "nominal"] | None = None
    nominal_size: int | None = None
    width_coefficient: float | None = None
    depth_coefficient: float | None = None
    stochastic_depth_rate: float | None = None
    batch_norm_momentum: float | None = None
    batch_norm_epsilon: float | None = None
    bn_group_size: int | None = None
    same_max_pool: bool | None = None
    remat: bool = False
    mean: tuple[float, float, float] = (0.5, 0.5, 0.5)
    std: tuple[float, float, float] = (0.5, 0.5, 0.5)

    @property
    def preprocess(self) -> Preprocess:
        """How images are made ready for this model."""
        return Preprocess(self.image_size, self.mean, self.std)

    def make_backbone(self) -> Any:
        """The feature extractor that the fields describe: a `FeatureExtractor` module.

        Raises:
          ValueError: an unknown backbone, an option that it does not know, or a value out of range.
        """
        entry = find_backbone(self.backbone)
        given = {option: getattr(self, option) for option in BACKBONE_OPTIONS}
        # Without a parent the backbone can be asked for its channels; `setup` adopts it.
        return entry.make(
            dtype=self.dtype,
            bn_group_size=self.bn_group_size,
            remat=self.remat,
            parent=None,
            **entry.check_options(self.backbone, given),
        )

    def check_images(self, images: jax.Array) -> None:
        """Raises ValueError unless images are [B, H, W, 3] floats."""
        if images.ndim != 4 or images.shape[-1] != 3:
            raise ValueError(f"images must be [B, H, W, 3] RGB, not {list(images.shape)}")
        if not jnp.issubdtype(images.dtype, jnp.floating):
            raise ValueError(
                f"images must be normalised floats, not {images.dtype}: pass uint8 pixels through "
                "model.preprocess.normalize first"
            )

    def endpoints(
        self, images: jax.Array, *, train: bool = False, weight: jax.Array | None = None
    ) -> dict[str, jax.Array]:
        """Every stage of the backbone by name: {"stem": [B, h, w, C], …}.

        In training, examples of `weight` [B] 0 have no part in batch statistics.
        """
        self.check_images(images)
        return self.features(images, train, weight)
