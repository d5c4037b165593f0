"""Xception as a feature extractor with every block as a named endpoint."""

from __future__ import annotations

from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from matnet_jax.backbones.base import Backbone
from matnet_jax.nn.batch_norm import BatchNorm, Norm
from matnet_jax.nn.layers import Conv, DepthwiseConv, same_padding


class Block(NamedTuple):
    """One residual block: its separable convolutions' channels, its stride and its first step."""

    channels: tuple[int, ...]
    stride: int
    starts_with_relu: bool = True


ENTRY = (
    Block((128, 128), 2, starts_with_relu=False),
    Block((256, 256), 2),
    Block((728, 728), 2),
)
MIDDLE = Block((728, 728, 728), 1)
EXIT = Block((728, 1024), 2)


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
    norm: Norm

    @nn.compact
    def __call__(self, x: jax.Array, train: bool, weight: jax.Array | None = None) -> jax.Array:
        """See the class."""

        def norm(y: jax.Array, name: str) -> jax.Array:
            return BatchNorm(*self.norm, name=name)(y, train=train, weight=weight)

        features, stride, dtype = self.block.channels[-1], self.block.stride, self.norm.dtype
        skip = x
        if stride != 1 or x.shape[-1] != features:
            conv = Conv(features, kernel_size=1, stride=stride, dtype=dtype, name="skip_conv")
            skip = norm(conv(x), "skip_bn")
        for i, channels in enumerate(self.block.channels):
            if i > 0 or self.block.starts_with_relu:
                x = nn.relu(x)
            x = norm(SeparableConv(channels, dtype, name=f"conv_{i}")(x), f"bn_{i}")
        if stride != 1:
            x = max_pool(x, self.same_max_pool)
        return x + skip


class Xception(nn.Module):
    """Images [B, H, W, C] -> {"b0", …, "b12", "final"}: each [B, h, w, C].

    `stem`, `blocks` and `tail` are its parts, for networks that do something between two blocks.

    Attributes:
      same_max_pool: pads max-pools as TensorFlow's SAME does; Keras's weights were made so, with
        an epsilon of 1e-3.
      remat: keeps only what goes from block to block, and computes the rest again.
      norm: fields of the batch norms; for `weight` in the call see `BatchNorm`.
      stem_stride: of the first convolution.
      width: factor of all channels.
      middle_blocks: blocks of the middle flow, between the three that halve the image and the last.
    """

    same_max_pool: bool = False
    norm: Norm = Norm()
    remat: bool = False
    stem_stride: int = 2
    width: float = 1.0
    middle_blocks: int = 8

    @property
    def plan(self) -> tuple[Block, ...]:
        """The blocks in order, "b1" the first."""
        blocks = (*ENTRY, *[MIDDLE] * self.middle_blocks, EXIT)
        return tuple(
            block._replace(channels=tuple(map(self._scaled, block.channels))) for block in blocks
        )

    def _scaled(self, channels: int) -> int:
        return max(round(channels * self.width), 1)

    @property
    def endpoint_channels(self) -> dict[str, int]:
        """Channels of every endpoint, known without running the network."""
        channels = {f"b{i}": block.channels[-1] for i, block in enumerate(self.plan, start=1)}
        return {"b0": self._scaled(64)} | channels | {"final": self._scaled(2048)}

    def setup(self) -> None:
        """Makes the submodules."""
        valid, dtype = ((0, 0), (0, 0)), self.norm.dtype
        self.conv1 = Conv(self._scaled(32), stride=self.stem_stride, padding=valid, dtype=dtype)
        self.conv2 = Conv(self._scaled(64), padding=valid, dtype=dtype)
        block_type = nn.remat(XceptionBlock, static_argnums=(2,)) if self.remat else XceptionBlock
        for i, block in enumerate(self.plan, start=1):
            setattr(self, f"block{i}", block_type(block, self.same_max_pool, self.norm))
        self.conv3 = SeparableConv(self._scaled(1536), dtype)
        self.conv4 = SeparableConv(self._scaled(2048), dtype)
        for i in (1, 2, 3, 4):
            setattr(self, f"bn{i}", BatchNorm(*self.norm))

    def stem(self, images: jax.Array, train: bool, weight: jax.Array | None = None) -> jax.Array:
        """Images [B, H, W, C] -> "b0"."""
        x = nn.relu(self.bn1(self.conv1(images), train=train, weight=weight))
        return nn.relu(self.bn2(self.conv2(x), train=train, weight=weight))

    def blocks(
        self, x: jax.Array, first: int, last: int, train: bool, weight: jax.Array | None = None
    ) -> dict[str, jax.Array]:
        """Blocks `first` to `last`, which is among them, of the output of the one before."""
        endpoints = {}
        for i in range(first, last + 1):
            x = endpoints[f"b{i}"] = getattr(self, f"block{i}")(x, train, weight)
        return endpoints

    def tail(self, x: jax.Array, train: bool, weight: jax.Array | None = None) -> jax.Array:
        """The last block's output -> "final"."""
        x = nn.relu(self.bn3(self.conv3(x), train=train, weight=weight))
        return nn.relu(self.bn4(self.conv4(x), train=train, weight=weight))

    def __call__(
        self, images: jax.Array, train: bool, weight: jax.Array | None = None
    ) -> dict[str, jax.Array]:
        """See the class."""
        last = len(self.plan)
        x = self.stem(images, train, weight)
        endpoints = {"b0": x} | self.blocks(x, 1, last, train, weight)
        return endpoints | {"final": self.tail(endpoints[f"b{last}"], train, weight)}


def _make(
    *,
    batch_norm_momentum: float = 0.9,
    batch_norm_epsilon: float = 1e-5,
    same_max_pool: bool = False,
    dtype: jnp.dtype = jnp.float32,
    bn_group_size: int | None = None,
    **fields: Any,
) -> Xception:
    norm = Norm(batch_norm_momentum, batch_norm_epsilon, dtype, bn_group_size)
    return Xception(same_max_pool, norm, **fields)


XCEPTION = Backbone(
    make=_make,
    native_size=299,
    image_size=299,
    texture_stage="b3",
    attention_stage="final",
    options=("batch_norm_momentum", "batch_norm_epsilon", "same_max_pool"),
)
