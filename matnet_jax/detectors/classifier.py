"""The plain baseline: a backbone with one dense layer."""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from matnet_jax.backbones import find_backbone
from matnet_jax.detectors.backboned import BackboneNetwork
from matnet_jax.detectors.base import MATOutput, _build
from matnet_jax.nn.layers import Dense


class PlainClassifier(BackboneNetwork):
    """The paper's baseline: backbone, global average pooling, dropout, dense.

    Attributes (besides `BackboneNetwork`'s):
      dropout_rate: before the dense layer; None for the backbone's own.
    """

    dropout_rate: float | None = None

    def setup(self) -> None:
        self.features = self.make_backbone()
        self.head = Dense(self.num_classes, self.dtype)
        rate = self.dropout_rate
        if rate is None:
            rate = find_backbone(self.backbone).classifier_dropout
        self.dropout = nn.Dropout(rate)

    def __call__(
        self,
        images: jax.Array,
        *,
        labels: jax.Array | None = None,
        train: bool = False,
        center_rate: jax.Array | float = 0.05,
        weight: jax.Array | None = None,
    ) -> MATOutput:
        """Runs the network; takes MAT's arguments so that one trainer serves both."""
        del labels, center_rate
        final = self.endpoints(images, train=train, weight=weight)["final"]
        pooled = jnp.mean(final.astype(jnp.float32), (1, 2))
        features = self.dropout(pooled, deterministic=not train)
        return MATOutput(logits=self.head(features).astype(jnp.float32), global_feature=pooled)


def create_classifier(
    backbone: str = "efficientnet-b4",
    *,
    num_classes: int = 2,
    image_size: int | None = None,
    dtype: jnp.dtype = jnp.float32,
    **overrides: Any,
) -> PlainClassifier:
    """Creates the plain baseline: same call and output struct as MAT.

    Arguments and errors as in `create_model`.
    """
    fields = {
        "backbone": backbone,
        "num_classes": num_classes,
        "image_size": image_size or find_backbone(backbone).image_size,
        "dtype": dtype,
    }
    model = _build(PlainClassifier, fields, {}, overrides)
    model.make_backbone()
    return model
