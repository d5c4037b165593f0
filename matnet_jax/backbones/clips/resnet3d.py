"""Residual networks over time: ResNet3D-34, MC3-18 and R(2+1)D-18.

The first as in Hara et al. (CVPR 2018), with shortcuts that have no parameters; the others as in
Tran et al. (CVPR 2018) and torchvision.
"""

from __future__ import annotations

from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

from matnet_jax.nn.batch_norm import Norm
from matnet_jax.nn.clips import ConvNorm, Triple, max_pool

Kind = Literal["full", "frame", "factored"]
"""Of a block's convolutions: 3×3×3; 3×3 of each frame; 3×3 of each frame and then 3 over time."""


class Convolution(nn.Module):
    """A convolution of a kind, its batch norm, and where asked for a ReLU."""

    features: int
    kind: Kind
    stride: int
    between: int
    norm: Norm
    activate: bool

    @nn.compact
    def __call__(self, x: jax.Array, train: bool, weight: jax.Array | None = None) -> jax.Array:
        """[B, T, H, W, C] -> [B, T', H', W', features]; time is strided but for "frame"."""
        s = self.stride
        kernel: Triple = (3, 3, 3) if self.kind == "full" else (1, 3, 3)
        stride: Triple = (s, s, s) if self.kind == "full" else (1, s, s)
        if self.kind == "factored":
            x = ConvNorm(self.between, kernel, stride, norm=self.norm, name="space")(
                x, train, weight
            )
            kernel, stride = (3, 1, 1), (s, 1, 1)
        name = "time" if self.kind == "factored" else "whole"
        layer = ConvNorm(
            self.features, kernel, stride, norm=self.norm, activate=self.activate, name=name
        )
        return layer(x, train, weight)


class Block(nn.Module):
    """Two convolutions plus the input.

    Attributes:
      features: channels of the result.
      stride: of the first convolution.
      kind: of the convolutions.
      plain_skip: where shapes differ the input is strided and given channels of zeros, and no
        gradient goes through it; otherwise a 1×1×1 convolution.
      norm: fields of the batch norms.
    """

    features: int
    stride: int
    kind: Kind
    plain_skip: bool
    norm: Norm = Norm()

    @nn.compact
    def __call__(self, x: jax.Array, train: bool, weight: jax.Array | None = None) -> jax.Array:
        """[B, T, H, W, C] -> [B, T', H', W', features]."""
        s, channels = self.stride, x.shape[-1]
        between = 27 * channels * self.features // (9 * channels + 3 * self.features)
        fields: dict[str, Any] = {"features": self.features, "kind": self.kind}
        fields |= {"between": between, "norm": self.norm}
        y = Convolution(**fields, stride=s, activate=True, name="first")(x, train, weight)
        y = Convolution(**fields, stride=1, activate=False, name="second")(y, train, weight)
        if s == 1 and channels == self.features:
            return nn.relu(x + y)
        if self.plain_skip:
            missing = [(0, 0)] * 4 + [(0, self.features - channels)]
            return nn.relu(y + jnp.pad(lax.stop_gradient(x[:, ::s, ::s, ::s]), missing))
        stride = (1, s, s) if self.kind == "frame" else (s, s, s)
        skip = ConvNorm(
            self.features, (1, 1, 1), stride, norm=self.norm, activate=False, name="skip"
        )
        return nn.relu(y + skip(x, train, weight))


class ResNet3D(nn.Module):
    """Clips [B, T, H, W, 3] -> float32 [B, 1, C].

    Attributes:
      depths: blocks of each stage.
      kinds: of the convolutions in each stage.
      stem: its kernel's frames, or "factored": a convolution of space with `stem_between` channels
        and one of time.
      stem_pool: whether the stem ends in a max-pool of 3×3×3 and stride 2.
      plain_skip: see `Block`.
      width: channels of the stem.
      stem_between: between space and time.
      norm: fields of the batch norms.
      remat: keeps only what goes from block to block, and computes the rest again.
    """

    depths: tuple[int, ...]
    kinds: tuple[Kind, ...]
    stem: int | Literal["factored"]
    stem_pool: bool = False
    plain_skip: bool = False
    width: int = 64
    stem_between: int = 45
    norm: Norm = Norm()
    remat: bool = False

    @nn.compact
    def __call__(self, clips: jax.Array, train: bool, weight: jax.Array | None = None) -> jax.Array:
        """See the class."""
        x = clips
        if self.stem == "factored":
            for name, features, kernel, stride in (
                ("stem_space", self.stem_between, (1, 7, 7), (1, 2, 2)),
                ("stem_time", self.width, (3, 1, 1), (1, 1, 1)),
            ):
                x = ConvNorm(features, kernel, stride, norm=self.norm, name=name)(x, train, weight)
        else:
            layer = ConvNorm(self.width, (self.stem, 7, 7), (1, 2, 2), norm=self.norm, name="stem")
            x = layer(x, train, weight)
        if self.stem_pool:
            x = max_pool(x, (3, 3, 3), (2, 2, 2), (1, 1, 1))
        block_type = nn.remat(Block, static_argnums=(2,)) if self.remat else Block
        for stage, (depth, kind) in enumerate(zip(self.depths, self.kinds, strict=True)):
            for i in range(depth):
                x = block_type(
                    self.width * 2**stage,
                    2 if stage and i == 0 else 1,
                    kind,
                    self.plain_skip,
                    self.norm,
                    name=f"stage_{stage + 1}_block_{i}",
                )(x, train, weight)
        return jnp.mean(x.astype(jnp.float32), axis=(1, 2, 3))[:, None]
