"""Capsule-Forensics' head: primary capsules on a map of features, routed to one capsule a class.

Nguyen, Yamagishi and Echizen, "Capsule-Forensics: using capsule networks to detect forged images
and videos", ICASSP 2019. Written anew after the authors' PyTorch code, from which two things come
that the text does not tell: primary capsules are squashed *across* capsules, and routing has a
logit for each dimension of an output capsule.
"""

from __future__ import annotations

import math
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from matnet_jax.nn.batch_norm import BatchNorm
from matnet_jax.nn.initializers import Normal, Uniform
from matnet_jax.nn.layers import Conv
from matnet_jax.nn.norms import l2_norm

_KERNEL, _SCALE = Normal(0.02), Normal(0.02, 1.0)
_WIDTHS = (64, 16)  # of a primary capsule's two convolutions
_HIDDEN, _NUMBERS, _DIMENSIONS = 8, 8, 4  # of its vector's layers, its output, a class capsule
_PADDING = ((1, 1), (1, 1))


def squash(x: jax.Array, axis: int) -> jax.Array:
    """X·‖x‖ / (1 + ‖x‖²) over `axis`, whose norm is below 1; 0 stays 0, with a gradient of 0."""
    norm = l2_norm(x, axis=axis, keepdims=True)
    return x * norm / (1 + norm**2)


def statistics(x: jax.Array) -> jax.Array:
    """Mean and unbiased standard deviation of each channel: [B, H, W, C] -> [B, C, 2] float32."""
    x = x.astype(jnp.float32)
    mean = jnp.mean(x, axis=(1, 2), keepdims=True)
    freedom = max(x.shape[1] * x.shape[2] - 1, 1)
    deviation = l2_norm(x - mean, axis=(1, 2)) / math.sqrt(freedom)
    return jnp.stack([mean[:, 0, 0], deviation], axis=-1)


def route(votes: jax.Array, iterations: int) -> jax.Array:
    """Dynamic routing: votes [B, O, K, D] of K capsules for O others -> [B, O, D]."""
    logits = jnp.zeros_like(votes)
    for _ in range(iterations - 1):
        logits += votes * _agreed(votes, logits)
    return _agreed(votes, logits)[:, :, 0]


def _agreed(votes: jax.Array, logits: jax.Array) -> jax.Array:
    weighted = jnp.sum(nn.softmax(logits, axis=2) * votes, axis=2, keepdims=True)
    return squash(weighted, axis=-1)


class PrimaryCapsules(nn.Module):
    """K capsules, each two convolutions, statistics of their maps, and two layers on those.

    They share nothing but their input, so that each layer is one for all of them: kernels and
    norms lie side by side, capsule by capsule.

    Attributes:
      num_capsules: K.
      dtype: of the convolutions.
    """

    num_capsules: int
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool, weight: jax.Array | None = None) -> jax.Array:
        """[B, H, W, C] -> u [B, 8, K] float32."""
        k = self.num_capsules
        mode: dict[str, Any] = {"train": train, "weight": weight}
        for i, (width, groups) in enumerate(zip(_WIDTHS, (1, k), strict=True), start=1):
            fan_in = 9 * x.shape[-1] // groups
            conv = Conv(
                width * k,
                groups=groups,
                padding=_PADDING,
                use_bias=True,
                dtype=self.dtype,
                kernel_init=_KERNEL,
                bias_init=Uniform(1 / math.sqrt(fan_in)),
                name=f"conv_{i}",
            )
            norm = BatchNorm(dtype=self.dtype, scale_init=_SCALE, name=f"bn_{i}")
            x = nn.relu(norm(conv(x), **mode))
        x = statistics(x).reshape(x.shape[0], k, _WIDTHS[-1], 2)
        x = self.along(x, _HIDDEN, size=5, stride=2, name="conv_3")
        x = BatchNorm(scale_init=_SCALE, name="bn_3")(x.reshape(*x.shape[:2], -1), **mode)
        x = x.reshape(*x.shape[:2], k, _HIDDEN).swapaxes(1, 2)
        x = self.along(x, 1, size=3, stride=1, name="conv_4")[..., 0]
        x = BatchNorm(scale_init=_SCALE, name="bn_4")(x, **mode)
        return squash(x, axis=-1)

    def along(self, x: jax.Array, features: int, *, size: int, stride: int, name: str) -> jax.Array:
        """Each capsule's convolution along a line: [B, K, n, C] -> [B, n / stride, K, features]."""
        k, channels, reach = x.shape[1], x.shape[3], size // 2
        kernel = self.param(f"{name}_kernel", _KERNEL, (k, size, channels, features))
        limit = 1 / math.sqrt(size * channels)
        bias = self.param(f"{name}_bias", Uniform(limit), (k, features))
        length = x.shape[2] // stride
        padded = jnp.pad(x, ((0, 0), (0, 0), (reach, reach), (0, 0)))
        taps = [padded[:, :, i : i + stride * (length - 1) + 1 : stride] for i in range(size)]
        return jnp.einsum("tbknc,ktcf->bnkf", jnp.stack(taps), kernel) + bias


class CapsuleHead(nn.Module):
    """Primary capsules and one capsule a class: [B, H, W, C] -> [B, D, classes] float32.

    Attributes:
      num_capsules: primary ones.
      num_classes: output capsules.
      iterations: of routing.
      noise: standard deviation of what is added to the routing weights in training.
      dropout_rate: of votes in training; those that stay are not scaled.
      dtype: of the convolutions.
    """

    num_capsules: int
    num_classes: int = 2
    iterations: int = 2
    noise: float = 0.01
    dropout_rate: float = 0.0
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(
        self, x: jax.Array, *, train: bool = False, weight: jax.Array | None = None
    ) -> jax.Array:
        """See the class; training draws from the stream "dropout"."""
        primary = PrimaryCapsules(self.num_capsules, self.dtype, name="primary")
        u = primary(x, train=train, weight=weight)
        shape = (self.num_classes, self.num_capsules, _DIMENSIONS, _NUMBERS)
        routes = self.param("routes", Normal(1.0), shape)
        if train and self.noise > 0:
            routes += self.noise * jax.random.normal(self.make_rng("dropout"), shape)
        votes = jnp.einsum("okdi,bik->bokd", routes, u)
        if train and self.dropout_rate > 0:
            key = self.make_rng("dropout")
            votes *= jax.random.bernoulli(key, 1 - self.dropout_rate, votes.shape)
        return route(votes, self.iterations).swapaxes(1, 2)
