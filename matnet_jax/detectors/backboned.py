"""Fields that detectors on a backbone share."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import jax

from matnet_jax.backbones import BACKBONES, find_backbone
from matnet_jax.detectors.base import Detector
from matnet_jax.detectors.fields import COUNT, IMAGE_SIZE, POSITIVE, RATE, Derived

BACKBONE_OPTIONS = tuple(
    dict.fromkeys(option for entry in BACKBONES.values() for option in entry.options)
)
"""Fields of a detector that go to its backbone, where None leaves its own value."""


def known_options(backbone: str, recipe: dict[str, Any]) -> dict[str, Any]:
    """A recipe's fields less the options that the backbone does not know."""
    known = find_backbone(backbone).options
    return {k: v for k, v in recipe.items() if k not in BACKBONE_OPTIONS or k in known}


class BackboneDetector(Detector):
    """A detector on one of the backbones.

    Attributes:
      backbone: a name of `matnet_jax.backbones.BACKBONES`; it lists which of the options below it
        knows. One that it does not know is an error unless it is None.
      image_size: side in pixels that images are prepared at; any larger or smaller runs too.
      padding: "same", or "nominal" as the released code pads; None for the backbone's own.
      nominal_size: image size that "nominal" computes with; None for the backbone's native one.
      width_coefficient: of EfficientNet's channels; None for the variant's own.
      depth_coefficient: of EfficientNet's blocks; None for the variant's own.
      stochastic_depth_rate: of the last block; earlier ones less, linearly. None: its own.
      batch_norm_momentum: the backbone's; None for its own.
      batch_norm_epsilon: the backbone's; None for its own.
      bn_group_size: images that share batch statistics, in the whole network; None for all of the
        global batch. Groups within a device are not exchanged between devices.
      same_max_pool: Xception's max-pools padded as Keras pads them.
      remat: the backbone's blocks are computed again in the backward pass, instead of kept.
    """

    backbone: str = "efficientnet-b4"
    image_size: Annotated[int, IMAGE_SIZE] = 380
    padding: Literal["same", "nominal"] | None = None
    nominal_size: Annotated[int | None, COUNT] = None
    width_coefficient: Annotated[float | None, POSITIVE] = None
    depth_coefficient: Annotated[float | None, POSITIVE] = None
    stochastic_depth_rate: Annotated[float | None, RATE] = None
    batch_norm_momentum: Annotated[float | None, RATE] = None
    batch_norm_epsilon: Annotated[float | None, POSITIVE] = None
    bn_group_size: Annotated[int | None, COUNT] = None
    same_max_pool: bool | None = None
    remat: Annotated[bool, Derived("config.train.remat")] = False

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

    def endpoints(
        self, images: jax.Array, *, train: bool = False, weight: jax.Array | None = None
    ) -> dict[str, jax.Array]:
        """Every stage of the backbone by name: {"stem": [B, h, w, C], …}.

        In training, examples of `weight` [B] 0 have no part in batch statistics.
        """
        self.check_images(images)
        return self.features(images, train, weight)
