"""The plain baseline: a backbone with one dense layer, trained with the cross entropy alone."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from matnet_jax.backbones import find_backbone
from matnet_jax.detectors import fine_map as fine_map_lib
from matnet_jax.detectors.activation import class_activation, evidence_of_places
from matnet_jax.detectors.backboned import BackboneDetector
from matnet_jax.detectors.base import (
    Batch,
    Detector,
    Family,
    Forward,
    Metrics,
    Objective,
    Steps,
    build,
)
from matnet_jax.detectors.fields import NOT_NEGATIVE, RATE, Derived, NumClasses, Range
from matnet_jax.detectors.fine_map import FineMap
from matnet_jax.detectors.output import MATOutput
from matnet_jax.detectors.recipes import RELEASED_RUN
from matnet_jax.nn.layers import Dense
from matnet_jax.nn.losses import correct, cross_entropy, weighted_mean

_CLASS_WEIGHTS = Range(lambda v: len(v) == 2 and min(v) > 0, "two numbers above 0")


class PlainClassifier(BackboneDetector):
    """The paper's baseline: backbone, global average pooling, dropout, dense.

    Attributes:
      num_classes: logits.
      dropout_rate: before the dense layer; None for the backbone's own.
      boundary_stage: that a fine map is made of, "" for the backbone's own; None for no map.
    """

    num_classes: NumClasses = 2
    dropout_rate: Annotated[float | None, RATE] = None
    boundary_stage: Annotated[str | None, Derived("config.fine_map")] = None

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
        self.boundary = fine_map_lib.make_head(
            self.boundary_stage, self.backbone, self.features.endpoint_channels, self.dtype
        )

    def __call__(
        self,
        images: jax.Array,
        *,
        labels: jax.Array | None = None,
        train: bool = False,
        center_rate: jax.Array | float = 0.05,
        weight: jax.Array | None = None,
    ) -> MATOutput:
        """Images [B, H, W, 3], normalised floats -> logits, global feature and any fine map.

        MAT's other arguments are taken and ignored, so that one call serves both.
        """
        del labels, center_rate
        stages = self.endpoints(images, train=train, weight=weight)
        final = stages["final"].astype(jnp.float32)
        pooled = jnp.mean(final, (1, 2))
        features = self.dropout(pooled, deterministic=not train)
        return MATOutput(
            logits=self.head(features).astype(jnp.float32),
            global_feature=pooled,
            class_activation=evidence_of_places(final, self.head)
            if self.num_classes == 2
            else None,
            boundary_logits=None if self.boundary is None else self.boundary(stages),
        )

    def heatmaps(self, out: Any) -> dict[str, jax.Array]:
        """Class activation, and the fine map if there is one."""
        activation = class_activation(out) if "class_activation" in out else {}
        return activation | fine_map_lib.heatmap(out)


@dataclasses.dataclass(frozen=True)
class CrossEntropy:
    """The cross entropy of the logits.

    Attributes:
      cross_entropy: its weight.
      label_smoothing: of its targets.
      each_class: half the mean of reals and half that of fakes, however many there are of each.
      class_weights: of a real and of a fake example, in the mean of all.
    """

    cross_entropy: Annotated[float, NOT_NEGATIVE] = 1.0
    label_smoothing: Annotated[float, RATE] = 0.0
    each_class: bool = False
    class_weights: Annotated[tuple[float, float], _CLASS_WEIGHTS] = (1.0, 1.0)

    def of(self, out: Any, batch: Batch) -> tuple[jax.Array, Metrics]:
        """The loss and the metrics of what a pass over a batch gave."""
        labels, weight = batch["label"], batch["weight"]
        per_example = cross_entropy(out["logits"], labels, label_smoothing=self.label_smoothing)
        loss = self.mean(per_example, labels, weight)
        accuracy = weighted_mean(correct(out["logits"], labels), weight)
        return self.cross_entropy * loss, {"cross_entropy": loss, "accuracy": accuracy}

    def mean(self, per_example: jax.Array, labels: jax.Array, weight: jax.Array) -> jax.Array:
        """Over examples [B] of weights [B], as the options have it."""
        if self.each_class:
            sides = (weighted_mean(per_example, weight * (labels == c)) for c in (0, 1))
            return sum(sides, jnp.zeros(())) / 2
        if self.class_weights == (1.0, 1.0):
            return weighted_mean(per_example, weight)
        weight = weight * jnp.asarray(self.class_weights)[labels]
        total = jnp.sum(weight)
        return jnp.sum(per_example * weight) / jnp.where(total > 0, total, 1.0)

    def __call__(
        self, forward: Forward, batch: Batch, key: jax.Array, step: jax.Array
    ) -> tuple[jax.Array, Metrics]:
        """See `Objective`."""
        del step
        return self.of(_first_pass(forward, batch, key), batch)


@dataclasses.dataclass(frozen=True)
class WithFineMap:
    """The cross entropy, and the loss of the fine map.

    Attributes:
      losses: see `CrossEntropy`.
      fine_map: see `FineMap`.
    """

    losses: CrossEntropy
    fine_map: FineMap

    def __call__(
        self, forward: Forward, batch: Batch, key: jax.Array, step: jax.Array
    ) -> tuple[jax.Array, Metrics]:
        """See `Objective`."""
        del step
        out = _first_pass(forward, batch, key)
        total, metrics = self.losses.of(out, batch)
        metrics["fine_map"] = self.fine_map(out["boundary_logits"], batch)
        return total + self.fine_map.weight * metrics["fine_map"], metrics


def _first_pass(forward: Forward, batch: Batch, key: jax.Array) -> Any:
    # The first of three keys, as the other networks' first pass has.
    return forward(batch["image"], key=jax.random.split(key, 3)[0])


def make_objective(
    model: Detector, steps: Steps, *, losses: CrossEntropy, fine_map: FineMap
) -> Objective:
    """The objective by the sections of a config."""
    del model, steps
    return WithFineMap(losses, fine_map) if fine_map.weight else losses


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
    channels = model.make_backbone().endpoint_channels
    fine_map_lib.make_head(model.boundary_stage, backbone, channels, dtype)  # or says what is wrong
    return model


def check_backbone(model: PlainClassifier, **sections: Any) -> None:
    """Raises ValueError where the model's fields describe no backbone; a `Family.check`."""
    del sections
    model.make_backbone()


FAMILY = Family(
    title="Plain classifier",
    model=PlainClassifier,
    create=lambda recipe, **fields: create_classifier(**fields),
    sections={"losses": CrossEntropy, "fine_map": FineMap},
    objective=make_objective,
    derive=fine_map_lib.derive,
    recipes={"paper": {}, "released": RELEASED_RUN},
    reads=fine_map_lib.reads,
    provenance="port",
)
