"""Fields that detectors on a backbone share."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import jax

from matnet_jax.backbones import VARIANTS, EfficientNet, Xception, native_size
from matnet_jax.detectors.base import Detector
from matnet_jax.detectors.fields import COUNT, IMAGE_SIZE, POSITIVE, RATE, Derived


class BackboneDetector(Detector):
    """A detector on one of the backbones.

    Attributes:
      backbone: "efficientnet-b0" … "efficientnet-b7" or "xception".
      num_classes: logits.
      image_size: side in pixels that images are prepared at; any larger or smaller runs too.
      padding: "same", or "nominal" as the released code pads (EfficientNet only).
      nominal_size: image size that "nominal" computes with; None for the backbone's native one.
      width_coefficient: of EfficientNet's channels; None for the variant's own.
      depth_coefficient: of EfficientNet's blocks; None for the variant's own.
      stochastic_depth_rate: of the last EfficientNet block; earlier ones less, linearly.
      batch_norm_momentum: the backbone's; None for its own.
      batch_norm_epsilon: the backbone's; None for its own.
      bn_group_size: images that share batch statistics, in the whole network; None for all of the
        global batch. Groups within a device are not exchanged between devices.
      same_max_pool: Xception's max-pools padded as Keras pads them.
      remat: the backbone's blocks are computed again in the backward pass, instead of kept.
    """

    backbone: str = "efficientnet-b4"
    num_classes: Annotated[int, Derived("real and fake")] = 2
    image_size: Annotated[int, IMAGE_SIZE] = 380
    padding: Literal["same", "nominal"] = "same"
    nominal_size: Annotated[int | None, COUNT] = None
    width_coefficient: Annotated[float | None, POSITIVE] = None
    depth_coefficient: Annotated[float | None, POSITIVE] = None
    stochastic_depth_rate: Annotated[float, RATE] = 0.2
    batch_norm_momentum: Annotated[float | None, RATE] = None
    batch_norm_epsilon: Annotated[float | None, POSITIVE] = None
    bn_group_size: Annotated[int | None, COUNT] = None
    same_max_pool: bool = False
    remat: Annotated[bool, Derived("config.train.remat")] = False

    def make_backbone(self) -> EfficientNet | Xception:
        """The feature extractor that the fields describe.

        Raises:
          ValueError: an unknown backbone or padding.
        """
        native = native_size(self.backbone)
        if self.padding not in ("same", "nominal"):
            raise ValueError(f"unknown padding '{self.padding}'; available: same, nominal")
        # Without a parent the backbone can be asked for its channels; `setup` adopts it.
        fields: dict[str, Any] = {
            "dtype": self.dtype,
            "bn_group_size": self.bn_group_size,
            "remat": self.remat,
            "parent": None,
        }
        if self.batch_norm_momentum is not None:
            fields["bn_momentum"] = self.batch_norm_momentum
        if self.batch_norm_epsilon is not None:
            fields["bn_epsilon"] = self.batch_norm_epsilon
        if self.backbone == "xception":
            return Xception(same_max_pool=self.same_max_pool, **fields)
        variant = VARIANTS[self.backbone]
        return EfficientNet(
            width=self.width_coefficient or variant.width,
            depth=self.depth_coefficient or variant.depth,
            nominal_size=(self.nominal_size or native) if self.padding == "nominal" else None,
            stochastic_depth_rate=self.stochastic_depth_rate,
            **fields,
        )

    def endpoints(
        self, images: jax.Array, *, train: bool = False, weight: jax.Array | None = None
    ) -> dict[str, jax.Array]:
        """Every stage of the backbone by name: {"stem": [B, h, w, C], …}.

        In training, examples of `weight` [B] 0 have no part in batch statistics.
        """
        self.check_images(images)
        return self.features(images, train, weight)
