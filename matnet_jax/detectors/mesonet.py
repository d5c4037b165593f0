"""MesoNet, two small networks of mesoscopic traces: Meso4 and MesoInception4.

Afchar, Nozick, Yamagishi and Echizen, "MesoNet: a compact facial video forgery detection network",
WIFS 2018. Written anew after the authors' Keras code, whose numerics these are: biased
convolutions with SAME padding, ReLU before batch normalisation, epsilon 1e-3, momentum 0.99.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Annotated, Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from matnet_jax.detectors.base import Batch, Detector, Family, Forward, Metrics
from matnet_jax.detectors.fields import IMAGE_SIZE, NOT_NEGATIVE, PIXEL_MEAN, PIXEL_STD, RATE
from matnet_jax.nn.batch_norm import BatchNorm
from matnet_jax.nn.initializers import GLOROT
from matnet_jax.nn.layers import Conv, Dense
from matnet_jax.nn.losses import correct, cross_entropy, weighted_mean


class MesoNet(Detector):
    """What both networks share: two blocks of their own, two of convolutions, and the head.

    The authors end in one sigmoid(z), near 1 for *real*. Ours is the same number by two logits:
    [z, 0], whose softmax is [sigmoid(z), 1 − sigmoid(z)].

    Attributes:
      image_size: side in pixels; the first dense layer's size follows from it.
      mean: of pixels in [0, 1], a channel each; pixels are used as they are.
      std: of pixels in [0, 1], a channel each.
      dropout_rate: before each of the two dense layers.
    """

    image_size: Annotated[int, IMAGE_SIZE] = 256
    mean: Annotated[tuple[float, float, float], PIXEL_MEAN] = (0.0, 0.0, 0.0)
    std: Annotated[tuple[float, float, float], PIXEL_STD] = (1.0, 1.0, 1.0)
    dropout_rate: Annotated[float, RATE] = 0.5

    def early_block(self, index: int, x: jax.Array) -> jax.Array:
        """Block 1 or 2, up to its ReLU: [B, H, W, C] -> [B, H, W, C']."""
        raise NotImplementedError

    def conv(self, x: jax.Array, features: int, size: int, name: str, dilation: int = 1) -> Any:
        """Convolution and ReLU."""
        layer = Conv(
            features,
            size,
            dilation=dilation,
            use_bias=True,
            dtype=self.dtype,
            kernel_init=GLOROT,
            name=name,
        )
        return nn.relu(layer(x))

    @nn.compact
    def __call__(
        self, images: jax.Array, *, train: bool = False, weight: jax.Array | None = None
    ) -> dict[str, jax.Array]:
        """Images [B, S, S, 3], RGB in [0, 1] -> logits [B, 2] float32, S the `image_size`."""
        self.check_images(images)
        x = images
        for index, pool in ((1, 2), (2, 2), (3, 2), (4, 4)):
            x = self.early_block(index, x) if index <= 2 else self.conv(x, 16, 5, f"conv_{index}")
            norm = BatchNorm(momentum=0.99, epsilon=1e-3, dtype=self.dtype, name=f"bn_{index}")
            x = norm(x, train=train, weight=weight)
            x = nn.max_pool(x, (pool, pool), (pool, pool), "SAME")
        x = x.reshape(x.shape[0], -1)  # by row, column, channel, as Keras flattens
        for name, features in (("dense", 16), ("logit", 1)):
            x = nn.Dropout(self.dropout_rate, deterministic=not train)(x)
            x = Dense(features, self.dtype, GLOROT, name=name)(x)
            x = nn.leaky_relu(x, 0.1) if name == "dense" else x
        z = x[:, 0].astype(jnp.float32)
        return {"logits": jnp.stack([z, jnp.zeros_like(z)], axis=-1)}


class Meso4(MesoNet):
    """Four blocks of convolution, ReLU, batch normalisation and pooling: 28,073 numbers."""

    def early_block(self, index: int, x: jax.Array) -> jax.Array:
        """See `MesoNet.early_block`."""
        return self.conv(x, 8, 3 if index == 1 else 5, f"conv_{index}")


class MesoInception4(MesoNet):
    """Meso4 whose first two blocks look at four scales at once: 28,725 numbers."""

    def early_block(self, index: int, x: jax.Array) -> jax.Array:
        """See `MesoNet.early_block`."""
        widths = (1, 4, 4, 2) if index == 1 else (2, 4, 4, 2)
        branches = []
        for dilation, (branch, width) in enumerate(zip("abcd", widths, strict=True)):
            name = f"inception_{index}_{branch}"
            y = self.conv(x, width, 1, f"{name}1")
            branches.append(self.conv(y, width, 3, f"{name}2", dilation) if dilation else y)
        return jnp.concatenate(branches, axis=-1)


@dataclasses.dataclass(frozen=True)
class Losses:
    """The authors' squared error of P(fake), and the cross entropy for who prefers it.

    Attributes:
      squared_error: weight of (P(fake) − label)², label 1 for fake; the authors train with it.
      cross_entropy: weight of the cross entropy.
    """

    squared_error: Annotated[float, NOT_NEGATIVE] = 1.0
    cross_entropy: Annotated[float, NOT_NEGATIVE] = 0.0

    def __call__(
        self, forward: Forward, batch: Batch, key: jax.Array, step: jax.Array
    ) -> tuple[jax.Array, Metrics]:
        """See `Objective`."""
        del step
        labels, weight = batch["label"], batch["weight"]
        logits = forward(batch["image"], key=key)["logits"]
        fake = nn.softmax(logits)[:, 1]
        error = weighted_mean(jnp.square(fake - labels), weight)
        entropy = weighted_mean(cross_entropy(logits, labels), weight)
        accuracy = weighted_mean(correct(logits, labels), weight)
        metrics = {"squared_error": error, "cross_entropy": entropy, "accuracy": accuracy}
        return self.squared_error * error + self.cross_entropy * entropy, metrics


_ADAM: Mapping[str, Any] = {"weight_decay": 0.0, "eps": 1e-7}
RECIPES: Mapping[str, Mapping[str, Mapping[str, Any]]] = {
    "paper": {
        "train": {"batch_size": 75, "duration": "4000 steps"},
        # 1e-3, 1e-4, 1e-5 and 1e-6, a thousand steps each.
        "optimizer": {
            **_ADAM,
            "schedule": "step",
            "decay_every": "1000 steps",
            "decay_rate": 0.1,
        },
    },
    "released": {"train": {"batch_size": 75}, "optimizer": _ADAM},
}
"""The paper's text; and the code, which has the optimiser and its rate alone."""

MESO4 = Family(
    title="Meso4",
    model=Meso4,
    sections={"losses": Losses},
    recipes=RECIPES,
    provenance="port",
)
MESOINCEPTION4 = dataclasses.replace(MESO4, title="MesoInception4", model=MesoInception4)
