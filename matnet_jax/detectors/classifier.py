"""The plain baseline: a backbone with one dense layer, trained with the cross entropy alone."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from matnet_jax.backbones import find_backbone
from matnet_jax.detectors.backboned import BackboneDetector
from matnet_jax.detectors.base import Batch, Family, Forward, Metrics, build
from matnet_jax.detectors.fields import NOT_NEGATIVE, RATE
from matnet_jax.detectors.output import MATOutput
from matnet_jax.detectors.recipes import RELEASED_RUN
from matnet_jax.nn.layers import Dense
from matnet_jax.nn.losses import correct, cross_entropy, weighted_mean


class PlainClassifier(BackboneDetector):
    """The paper's baseline: backbone, global average pooling, dropout, dense.

    Attributes:
      dropout_rate: before the dense layer; None for the backbone's own.
    """

    dropout_rate: Annotated[float | None, RATE] = None

    @property
    def description(self) -> str:
        """What it is, in a few words, for messages."""
        return f"a plain classifier on {self.backbone}"

    def setup(self) -> None:
        """Makes the submodules."""
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
        """Images [B, H, W, 3], normalised floats -> logits and global feature.

        MAT's other arguments are taken and ignored, so that one call serves both.
        """
        del labels, center_rate
        final = self.endpoints(images, train=train, weight=weight)["final"]
        pooled = jnp.mean(final.astype(jnp.float32), (1, 2))
        features = self.dropout(pooled, deterministic=not train)
        return MATOutput(logits=self.head(features).astype(jnp.float32), global_feature=pooled)


@dataclasses.dataclass(frozen=True)
class CrossEntropy:
    """The cross entropy of the logits.

    Attributes:
      cross_entropy: its weight.
      label_smoothing: of its targets.
    """

    cross_entropy: Annotated[float, NOT_NEGATIVE] = 1.0
    label_smoothing: Annotated[float, RATE] = 0.0

    def __call__(
        self, forward: Forward, batch: Batch, key: jax.Array, step: jax.Array
    ) -> tuple[jax.Array, Metrics]:
        """See `Objective`."""
        del step
        labels, weight = batch["label"], batch["weight"]
        # The first of three keys, as the other networks' first pass has.
        out = forward(batch["image"], key=jax.random.split(key, 3)[0])
        per_example = cross_entropy(out["logits"], labels, label_smoothing=self.label_smoothing)
        loss = weighted_mean(per_example, weight)
        accuracy = weighted_mean(correct(out["logits"], labels), weight)
        return self.cross_entropy * loss, {"cross_entropy": loss, "accuracy": accuracy}


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
    model = build(PlainClassifier, fields, {}, overrides)
    model.make_backbone()
    return model


def check_backbone(model: PlainClassifier, **sections: Any) -> None:
    """Raises ValueError where the model's fields describe no backbone; a `Family.check`."""
    del sections
    model.make_backbone()


FAMILY = Family(
    title="Plain classifier",
    model=PlainClassifier,
    create=lambda recipe, **fields: create_classifier(**fields),
    sections={"losses": CrossEntropy},
    recipes={"paper": {}, "released": RELEASED_RUN},
    provenance="port",
)
