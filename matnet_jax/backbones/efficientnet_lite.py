"""EfficientNet-Lite 0–4: for devices, without squeeze and excite, with ReLU6.

Stem and head keep their width, the first and the last stage their depth, whatever the scaling.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import flax.linen as nn
import jax

from matnet_jax.backbones.base import Backbone
from matnet_jax.backbones.efficientnet import (
    HEAD_CHANNELS,
    OPTIONS,
    STAGES,
    STEM_CHANNELS,
    EfficientNet,
    Variant,
    make,
    scaled_channels,
)

LITE_VARIANTS = {
    "efficientnet-lite0": Variant(1.0, 1.0, 224, 0.2),
    "efficientnet-lite1": Variant(1.0, 1.1, 240, 0.2),
    "efficientnet-lite2": Variant(1.1, 1.2, 260, 0.3),
    "efficientnet-lite3": Variant(1.2, 1.4, 280, 0.3),
    "efficientnet-lite4": Variant(1.4, 1.8, 300, 0.3),
}


class EfficientNetLite(EfficientNet):
    """Images [B, H, W, 3] -> {"stem", "L1", …, "L7", "final"}; fields as of `EfficientNet`."""

    activation: Callable[[jax.Array], jax.Array] = nn.relu6
    squeeze: bool = False

    @property
    def endpoint_channels(self) -> dict[str, int]:
        """Channels of every endpoint, known without running the network."""
        stages = {
            f"L{i}": scaled_channels(stage.channels, self.width)
            for i, stage in enumerate(STAGES, start=1)
        }
        return {"stem": STEM_CHANNELS} | stages | {"final": HEAD_CHANNELS}

    @property
    def repeats(self) -> list[int]:
        """Blocks of every stage."""
        first, *middle, last = (stage.repeats for stage in STAGES)
        return [first, *(math.ceil(count * self.depth) for count in middle), last]


EFFICIENTNET_LITES = {
    name: Backbone(
        make=functools.partial(make, EfficientNetLite, variant),
        native_size=variant.native_size,
        image_size=380,  # the crops', as of the other EfficientNets
        texture_stage="L2",
        attention_stage="L5",
        classifier_dropout=variant.classifier_dropout,
        options=OPTIONS,
    )
    for name, variant in LITE_VARIANTS.items()
}
