"""A detector as CONTRIBUTING.md walks through it: its own loss, a mask target, a heat map."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from matnet_jax.detectors.base import Batch, Detector, Family, Forward, Metrics
from matnet_jax.detectors.fields import COUNT, NOT_NEGATIVE
from matnet_jax.nn.batch_norm import BatchNorm
from matnet_jax.nn.layers import Conv
from matnet_jax.nn.losses import correct, cross_entropy, weighted_mean


class Segmenter(Detector):
    """Finds the forged region, and calls a face forged by the largest part of it.

    Attributes:
      width: channels.
    """

    width: Annotated[int, COUNT] = 8

    @nn.compact
    def __call__(
        self, images: jax.Array, *, train: bool = False, weight: jax.Array | None = None
    ) -> dict[str, jax.Array]:
        self.check_images(images)
        x = Conv(self.width, stride=4, kernel_size=7, dtype=self.dtype, name="stem")(images)
        x = nn.relu(BatchNorm(dtype=self.dtype, name="bn")(x, train=train, weight=weight))
        region = Conv(1, use_bias=True, dtype=self.dtype, name="region")(x).astype(jnp.float32)
        fake = jnp.max(region, axis=(1, 2, 3)) - jnp.mean(region, axis=(1, 2, 3))
        return {"logits": jnp.stack([-fake, fake], axis=-1), "region": region}

    def heatmaps(self, out: Any) -> dict[str, jax.Array]:
        """The forged region, in [0, 1]."""
        return {"forged_region": nn.sigmoid(out["region"])}


@dataclasses.dataclass(frozen=True)
class Losses:
    """Cross entropy of the face and of the region.

    Attributes:
      region: weight of the region's.
    """

    region: Annotated[float, NOT_NEGATIVE] = 1.0

    def __call__(
        self, forward: Forward, batch: Batch, key: jax.Array, step: jax.Array
    ) -> tuple[jax.Array, Metrics]:
        """See `Objective`."""
        out = forward(batch["image"], key=key)
        face = weighted_mean(cross_entropy(out["logits"], batch["label"]), batch["weight"])
        target = batch["mask"][..., None].astype(jnp.float32) / 255.0
        target = jax.image.resize(target, out["region"].shape, "linear")
        pixels = optax.sigmoid_binary_cross_entropy(out["region"], target)
        region = weighted_mean(jnp.mean(pixels, axis=(1, 2, 3)), batch["weight"])
        accuracy = weighted_mean(correct(out["logits"], batch["label"]), batch["weight"])
        return face + self.region * region, {"face": face, "region": region, "accuracy": accuracy}


FAMILY = Family(title="Segmenter", model=Segmenter, sections={"losses": Losses}, reads=("mask",))
