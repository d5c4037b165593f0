"""Xception as a feature extractor with every block as a named endpoint."""

from __future__ import annotations

from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from matnet_jax.backbones.base import Backbone
from matnet_jax.nn.layers import BatchNorm, Conv, DepthwiseConv, same_padding


class Block(NamedTuple):
    """One residual block: its separable convolutions' channels, its stride and its first step."""

    channels: tuple[int, ...]
    stride: int
    starts_with_relu: bool = True


BLOCKS = (
    Block((128, 128), 2, starts_with_relu=False),
    Block((256, 256), 2),
    Block((728, 728), 2),
    *[Block((728, 728, 728), 1)] * 8,
    Block((728, 1024), 2),
)


def max_pool(x: jax.Array, same: bool) -> jax.Array:
    """3×3, stride 2: [B, H, W, C] -> half the size; padding 1, or TensorFlow's SAME."""
    padding = same_padding(x.shape[1:3], 3, 2) if same else ((1, 1), (1, 1))
    return nn.max_pool(x, (3, 3), (2, 2), padding)


class SeparableConv(nn.Module):
    """Depthwise 3×3 then 1×1, no biases: [B, H, W, C] -> [B, H, W, features]."""

    features: int
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """See the class."""
        x = DepthwiseConv(3, padding=((1, 1), (1, 1)), dtype=self.dtype, name="depthwise")(x)
        return Conv(self.features, kernel_size=1, dtype=self.dtype, name="pointwise")(x)


class XceptionBlock(nn.Module):
    """Separable convolutions with batch norm, max-pooled if strided, plus a projected skip."""

    block: Block
    same_max_pool: bool
    bn_momentum: float
    bn_epsilon: float
    dtype: jnp.dtype = jnp.float32
    bn_group_size: int | None = None

    @nn.compact
    def __call__(self, x: jax.Array, train: bool, weight: jax.Array | None = None) -> jax.Array:
        """See the class."""

        def norm(y: jax.Array, name: str) -> jax.Array:
            layer = BatchNorm(
                self.bn_momentum, self.bn_epsilon, self.dtype, self.bn_group_size, name=name
            )
            return layer(y, train=train, weight=weight)

        features, stride = self.block.channels[-1], self.block.stride
        skip = x
        if stride != 1 or x.shape[-1] != features:
            conv = Conv(features, kernel_size=1, stride=stride, dtype=self.dtype, name="skip_conv")
            skip = norm(conv(x), "skip_bn")
        for i, channels in enumerate(self.block.channels):
            if i > 0 or self.block.starts_with_relu:
                x = nn.relu(x)
            x = norm(SeparableConv(channels, self.dtype, name=f"conv_{i}")(x), f"bn_{i}")
        if stride != 1:
            x = max_pool(x, self.same_max_pool)
        return x + skip


class Xception(nn.Module):
    """Images [B, H, W, 3] -> {"b0", …, "b12", "final"}: each [B, h, w, C].

    Attributes:
      same_max_pool: pads max-pools as TensorFlow's SAME does; Keras's weights were made so, with
        `bn_epsilon` 1e-3.
      remat: keeps only what goes from block to block, and computes the rest again.
      bn_group_size: see `BatchNorm`, as for `weight` in the call.
    """

    same_max_pool: bool = False
    bn_momentum: float = 0.9
    bn_epsilon: float = 1e-5
    remat: bool = False
    dtype: jnp.dtype = jnp.float32
    bn_group_size: int | None = None

    @property
    def endpoint_channels(self) -> dict[str, int]:
        """Channels of every endpoint, known without running the network."""
        channels = {f"b{i}": block.channels[-1] for i, block in enumerate(BLOCKS, start=1)}
        return {"b0": 64} | channels | {"final": 2048}

    @nn.compact
    def __call__(
        self, images: jax.Array, train: bool, weight: jax.Array | None = None
    ) -> dict[str, jax.Array]:
        """See the class."""

        def norm(y: jax.Array, name: str) -> jax.Array:
            layer = BatchNorm(
                self.bn_momentum, self.bn_epsilon, self.dtype, self.bn_group_size, name=name
            )
            return nn.relu(layer(y, train=train, weight=weight))

        valid = ((0, 0), (0, 0))
        conv1 = Conv(32, stride=2, padding=valid, dtype=self.dtype, name="conv1")
        conv2 = Conv(64, padding=valid, dtype=self.dtype, name="conv2")
        x = norm(conv2(norm(conv1(images), "bn1")), "bn2")
        endpoints = {"b0": x}
        block_type = nn.remat(XceptionBlock, static_argnums=(2,)) if self.remat else XceptionBlock
        for i, block in enumerate(BLOCKS, start=1):
            x = block_type(
                block,
                self.same_max_pool,
                self.bn_momentum,
                self.bn_epsilon,
                self.dtype,
                self.bn_group_size,
                name=f"block{i}",
            )(x, train, weight)
            endpoints[f"b{i}"] = x
        x = norm(SeparableConv(1536, self.dtype, name="conv3")(x), "bn3")
        x = norm(SeparableConv(2048, self.dtype, name="conv4")(x), "bn4")
        return endpoints | {"final": x}


def _make(
    *,
    batch_norm_momentum: float = 0.9,
    batch_norm_epsilon: float = 1e-5,
    same_max_pool: bool = False,
    **fields: Any,
) -> Xception:
    return Xception(same_max_pool, batch_norm_momentum, batch_norm_epsilon, **fields)


XCEPTION = Backbone(
    make=_make,
    native_size=299,
    image_size=299,
    texture_stage="b3",
    attention_stage="final",
    options=("batch_norm_momentum", "batch_norm_epsilon", "same_max_pool"),
)
