"""GenD: a transformer of which only the layer norms train, and features spread on a sphere.

Yermakov, Cech, Matas and Fritz, "Deepfake detection that generalizes across benchmarks", WACV 2026,
arXiv:2508.06248; uniformity and alignment after Wang and Isola, ICML 2020.
"""

from __future__ import annotations

import dataclasses
from typing import Annotated

import jax
import jax.numpy as jnp

from matnet_jax.detectors.base import Batch, Family, Forward, Metrics
from matnet_jax.detectors.class_token import ClassTokenDetector, check_transformer
from matnet_jax.detectors.fields import NOT_NEGATIVE, POSITIVE, RATE
from matnet_jax.nn.losses import correct, cross_entropy, weighted_mean
from matnet_jax.nn.norms import l2_normalize

TRAINED = ("features/*norm_*",)
"""Of the backbone: scales and biases of every layer norm, see `optimizer.unfreeze`."""


class GenD(ClassTokenDetector):
    """A dense layer on the class's token of length 1."""

    @property
    def description(self) -> str:
        """What it is, in a few words, for messages."""
        return f"GenD on {self.backbone}"

    def represent(self, token: jax.Array) -> jax.Array:
        """The token, of length 1."""
        return l2_normalize(token)


def squared_distances(features: jax.Array) -> jax.Array:
    """‖x − y‖² of all pairs of vectors of length 1: [B, C] -> [B, B]."""
    # From the vectors themselves: 2 − 2x·y of two that are nearly the same would be rounding.
    return jnp.sum(jnp.square(features[:, None] - features[None]), axis=-1)


def uniformity(features: jax.Array, weight: jax.Array, t: float = 2.0) -> jax.Array:
    """Log mean exp(−t·‖x − y‖²) over pairs of different examples; 0 where no pair counts.

    Args:
      features: [B, C], of length 1.
      weight: [B]; a pair weighs the product of its two.
      t: how fast a pair stops to count.
    """
    pairs = _pairs(weight)
    total = jnp.sum(pairs)
    near = jnp.sum(pairs * jnp.exp(-t * squared_distances(features)))
    return jnp.where(total > 0, jnp.log(jnp.where(total > 0, near, 1.0) / jnp.maximum(total, 1)), 0)


def alignment(features: jax.Array, labels: jax.Array, weight: jax.Array) -> jax.Array:
    """Mean ‖x − y‖² over pairs of different examples of one label; 0 where no pair counts.

    Arguments as in `uniformity`, and labels [B].
    """
    pairs = _pairs(weight) * (labels[:, None] == labels[None])
    return jnp.sum(pairs * squared_distances(features)) / jnp.maximum(jnp.sum(pairs), 1.0)


def _pairs(weight: jax.Array) -> jax.Array:
    """Weights [B, B] of pairs; each pair stands there twice, and no example with itself."""
    return weight[:, None] * weight[None] * (1 - jnp.eye(len(weight)))


@dataclasses.dataclass(frozen=True)
class Losses:
    """Weights of the parts.

    Attributes:
      cross_entropy: of the cross entropy.
      uniformity: of the logarithm of how near all features are to each other.
      alignment: of the squared distance of features of one label.
      uniformity_t: how fast a pair stops to count for uniformity.
      label_smoothing: of the cross entropy's targets.
    """

    cross_entropy: Annotated[float, NOT_NEGATIVE] = 1.0
    uniformity: Annotated[float, NOT_NEGATIVE] = 0.5
    alignment: Annotated[float, NOT_NEGATIVE] = 0.1
    uniformity_t: Annotated[float, POSITIVE] = 2.0
    label_smoothing: Annotated[float, RATE] = 0.0

    def __call__(
        self, forward: Forward, batch: Batch, key: jax.Array, step: jax.Array
    ) -> tuple[jax.Array, Metrics]:
        """See `Objective`."""
        del step
        labels, weight = batch["label"], batch["weight"]
        out = forward(batch["image"], key=key)
        entropy = cross_entropy(out["logits"], labels, label_smoothing=self.label_smoothing)
        metrics = {
            "cross_entropy": weighted_mean(entropy, weight),
            "uniformity": uniformity(out["feature"], weight, self.uniformity_t),
            "alignment": alignment(out["feature"], labels, weight),
            "accuracy": weighted_mean(correct(out["logits"], labels), weight),
        }
        loss = (
            self.cross_entropy * metrics["cross_entropy"]
            + self.uniformity * metrics["uniformity"]
            + self.alignment * metrics["alignment"]
        )
        return loss, metrics


FAMILY = Family(
    title="GenD",
    model=GenD,
    sections={"losses": Losses},
    check=check_transformer,
    recipes={
        "paper": {
            "data": {"balance": "source", "real_repeat": 1, "frames_per_video": 32},
            "train": {"batch_size": 128},
            "optimizer": {
                "name": "adamw",
                "learning_rate": 3e-4,
                "weight_decay": 0.0,
                "schedule": "cosine",
                "final_fraction": 1 / 30,
                "warmup": "1 epoch",
                "freeze": ("features",),
                "unfreeze": TRAINED,
            },
        }
    },
    provenance="reconstruction",
)
