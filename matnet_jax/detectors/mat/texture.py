"""Texture enhancement: the high frequencies of shallow features through a dense block (eq. 1)."""

from __future__ import annotations

from typing import Literal, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

from matnet_jax.nn.batch_norm import BatchNorm
from matnet_jax.nn.layers import Conv
from matnet_jax.nn.resize import Size, adaptive_average_pool, resize_bilinear, resize_nearest

TextureVersion = Literal["paper", "v1", "v2"]
_DENSE_LAYERS = 3


class TextureOutput(NamedTuple):
    """features: F, [B, H, W, C_F] or [B, H, W, M, C_F]; pooled: D, [B, h, w, C]."""

    features: jax.Array
    pooled: jax.Array


def concatenate_in_groups(parts: list[jax.Array], groups: int) -> jax.Array:
    """Concatenates channels [B, H, W, groups·c] inside each group, groups outermost."""
    shape = parts[0].shape[:-1]
    split = [part.reshape(*shape, groups, -1) for part in parts]
    return jnp.concatenate(split, axis=-1).reshape(*shape, -1)


class DenseBlock(nn.Module):
    """Three layers of batch norm, ReLU, 3×3 convolution, each fed all that came before.

    [B, H, W, groups·C] -> [B, H, W, groups·4C]: the input and the three outputs, group by group.
    """

    groups: int = 1
    dtype: jnp.dtype = jnp.float32
    bn_group_size: int | None = None

    @nn.compact
    def __call__(self, x: jax.Array, train: bool, weight: jax.Array | None = None) -> jax.Array:
        """See the class."""
        growth, parts = x.shape[-1], [x]
        for i in range(1, _DENSE_LAYERS + 1):
            y = concatenate_in_groups(parts, self.groups)
            norm = BatchNorm(dtype=self.dtype, group_size=self.bn_group_size, name=f"bn{i}")
            y = nn.relu(norm(y, train=train, weight=weight))
            conv = Conv(
                growth, groups=self.groups, use_bias=True, dtype=self.dtype, name=f"conv{i}"
            )
            parts.append(conv(y))
        return concatenate_in_groups(parts, self.groups)


class TextureBlock(nn.Module):
    """Shallow features f [B, H, W, C] and maps A [B, h, w, M] -> `TextureOutput`.

    D is f pooled to the maps' size over `pool`, T = f − upsampled D (eq. 1) wherever D is smaller
    than f.

    Attributes:
      version: "paper": dense block on T, C_F = 4C. "v1" (released): 1×1 convolution, dense block,
        BN-ReLU-1×1-BN, C_F = 4C. "v2" (released): f passes a 3×3 convolution first; each map has
        its own copy of T times tanh(A) (no gradient to A), its own 5×5 convolution, dense block
        and BN-ReLU-1×1-BN-ReLU, C_F = C a map.
      bn_group_size: see `BatchNorm`, as for `weight` in the call.
      pool: cells of a map to one of D, a side.
    """

    version: TextureVersion = "paper"
    dtype: jnp.dtype = jnp.float32
    bn_group_size: int | None = None
    pool: int = 1

    @nn.compact
    def __call__(
        self,
        features: jax.Array,
        attention_maps: jax.Array,
        train: bool,
        weight: jax.Array | None = None,
    ) -> TextureOutput:
        """See the class."""

        def conv(
            y: jax.Array, channels: int, kernel_size: int, name: str, groups: int = 1
        ) -> jax.Array:
            layer = Conv(channels, kernel_size, 1, groups, True, dtype=self.dtype, name=name)
            return layer(y)

        def norm(y: jax.Array, name: str) -> jax.Array:
            layer = BatchNorm(dtype=self.dtype, group_size=self.bn_group_size, name=name)
            return layer(y, train=train, weight=weight)

        def dense(y: jax.Array, groups: int = 1) -> jax.Array:
            return DenseBlock(groups, self.dtype, self.bn_group_size, name="dense")(
                y, train, weight
            )

        channels, size, maps = (
            features.shape[-1],
            features.shape[1:3],
            attention_maps.shape[-1],
        )
        if self.version == "v2":
            features = conv(features, channels, 3, "extract_conv")
        coarse = tuple(max(n // self.pool, 1) for n in attention_maps.shape[1:3])
        pooled, texture = self._residual(features, coarse)

        if self.version == "paper":
            return TextureOutput(dense(texture), pooled)
        if self.version == "v1":
            x = conv(texture, channels, 1, "input_conv")
            x = nn.relu(norm(dense(x), "dense_bn"))
            x = norm(conv(x, 4 * channels, 1, "output_conv"), "output_bn")
            return TextureOutput(x, pooled)
        if self.version != "v2":
            raise ValueError(f"unknown texture version '{self.version}'; use paper, v1 or v2")

        weights = jnp.tanh(resize_bilinear(lax.stop_gradient(attention_maps), size))
        copies = weights[..., :, None].astype(texture.dtype) * texture[..., None, :]
        x = copies.reshape(*texture.shape[:3], maps * channels)
        x = conv(x, maps * channels, 5, "input_conv", maps)
        x = nn.relu(norm(dense(x, maps), "dense_bn"))
        x = nn.relu(norm(conv(x, maps * channels, 1, "output_conv", maps), "output_bn"))
        return TextureOutput(x.reshape(*x.shape[:3], maps, channels), pooled)

    @staticmethod
    def _residual(features: jax.Array, size: Size) -> tuple[jax.Array, jax.Array]:
        pooled = adaptive_average_pool(features, size)
        if size[0] >= features.shape[1] and size[1] >= features.shape[2]:
            # Maps as fine as the features pool nothing away: the residual would be all zeros.
            return pooled, features
        return pooled, features - resize_nearest(pooled, features.shape[1:3])
