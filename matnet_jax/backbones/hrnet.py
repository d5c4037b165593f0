"""HRNet-W48 (Sun et al., 2019; Wang et al., 2020): branches of four resolutions, side by side."""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from matnet_jax.backbones.base import Backbone, scaled
from matnet_jax.backbones.resnet import (
    EXPANSION,
    ONE,
    OPTIONS,
    BasicBlock,
    Bottleneck,
)
from matnet_jax.nn.batch_norm import BatchNorm, Norm
from matnet_jax.nn.layers import Conv
from matnet_jax.nn.resize import resize_centred, resize_nearest

Branches = list[jax.Array]  # [B, h, w, C] each, finest first; each half as fine as the last


class ConvNorm(nn.Module):
    """Convolution and batch norm: [B, H, W, C] -> [B, H', W', features]."""

    features: int
    kernel_size: int = 3
    stride: int = 1
    norm: Norm = Norm()

    @nn.compact
    def __call__(self, x: jax.Array, train: bool, weight: jax.Array | None = None) -> jax.Array:
        """See the class."""
        conv = Conv(
            self.features,
            self.kernel_size,
            self.stride,
            padding=ONE if self.kernel_size == 3 else None,
            dtype=self.norm.dtype,
            name="conv",
        )
        return BatchNorm(*self.norm, name="bn")(conv(x), train=train, weight=weight)


class Exchange(nn.Module):
    """Blocks in every branch, then each branch is the sum of all, brought to its size.

    Attributes:
      widths: channels of the branches.
      blocks: in each.
      norm: fields of the batch norms.
      remat: see `HRNet`.
    """

    widths: tuple[int, ...]
    blocks: int = 4
    norm: Norm = Norm()
    remat: bool = False

    @nn.compact
    def __call__(
        self, branches: Branches, train: bool, weight: jax.Array | None = None
    ) -> Branches:
        """Branches of `widths` channels -> the same."""
        block_type = nn.remat(BasicBlock, static_argnums=(2,)) if self.remat else BasicBlock
        branches = list(branches)
        for b, width in enumerate(self.widths):
            for k in range(self.blocks):
                block = block_type(width, width, 1, self.norm, name=f"branch_{b}_block_{k}")
                branches[b] = block(branches[b], train, weight)

        def brought(source: int, target: int) -> jax.Array:
            x, name = branches[source], f"fuse_{target}_{source}"
            if source > target:
                x = ConvNorm(self.widths[target], 1, 1, self.norm, name=name)(x, train, weight)
                return resize_nearest(x, branches[target].shape[1:3])
            for step in range(target - source):
                is_last = step == target - source - 1
                width = self.widths[target if is_last else source]
                conv = ConvNorm(width, 3, 2, self.norm, name=f"{name}_{step}")
                x = conv(x, train, weight)
                x = x if is_last else nn.relu(x)
            return x

        every = range(len(branches))
        return [nn.relu(sum(brought(source, i) for source in every)) for i in every]


class HRNet(nn.Module):
    """Images [B, H, W, 3] -> {"stem", "L1", …, "L4", "final"}: each [B, H/4, W/4, C].

    "L2" to "L4" are the finest branches of their stages. "final" is all four of the last stage,
    brought to the finest's size and side by side.

    Attributes:
      widths: channels of the four branches.
      stem: channels of the stem; the first stage's blocks have four times as many.
      bottlenecks: blocks of the first stage.
      modules: of the stages 2, 3 and 4.
      blocks: of a branch in a module.
      norm: fields of the batch norms.
      remat: keeps only what goes from block to block, and computes the rest again.
    """

    widths: tuple[int, ...] = (48, 96, 192, 384)
    stem: int = 64
    bottlenecks: int = 4
    modules: tuple[int, ...] = (1, 4, 3)
    blocks: int = 4
    norm: Norm = Norm()
    remat: bool = False

    @property
    def endpoint_channels(self) -> dict[str, int]:
        """Channels of every endpoint, known without running the network."""
        stages = {f"L{stage}": self.widths[0] for stage in (2, 3, 4)}
        ends = {"stem": self.stem, "L1": EXPANSION * self.stem}
        return ends | stages | {"final": sum(self.widths)}

    @nn.compact
    def __call__(
        self, images: jax.Array, train: bool, weight: jax.Array | None = None
    ) -> dict[str, jax.Array]:
        """See the class."""

        def conv_norm(x: jax.Array, features: int, stride: int, name: str) -> jax.Array:
            layer = ConvNorm(features, 3, stride, self.norm, name=name)
            return nn.relu(layer(x, train, weight))

        x = conv_norm(images, self.stem, 2, "stem_1")
        x = conv_norm(x, self.stem, 2, "stem_2")
        endpoints = {"stem": x}
        block_type = nn.remat(Bottleneck, static_argnums=(2,)) if self.remat else Bottleneck
        for i in range(self.bottlenecks):
            block = block_type(
                self.stem, EXPANSION * self.stem, 1, self.norm, name=f"stage_1_block_{i}"
            )
            x = block(x, train, weight)
        endpoints["L1"] = x

        # The first transition brings stage 1 to the width of its branch too, later ones only add.
        branches = [conv_norm(x, self.widths[0], 1, "transition_1_0")]
        for stage, count in enumerate(self.modules, start=2):
            coarsest = x if stage == 2 else branches[-1]
            name = f"transition_{stage - 1}_{stage - 1}"
            branches.append(conv_norm(coarsest, self.widths[stage - 1], 2, name))
            for i in range(count):
                module = Exchange(
                    self.widths[:stage],
                    self.blocks,
                    self.norm,
                    self.remat,
                    name=f"stage_{stage}_module_{i}",
                )
                branches = module(branches, train, weight)
            endpoints[f"L{stage}"] = branches[0]
        size = branches[0].shape[1:3]
        final = jnp.concatenate([resize_centred(branch, size) for branch in branches], axis=-1)
        return endpoints | {"final": final}


def _make(
    *,
    width_coefficient: float = 1.0,
    depth_coefficient: float = 1.0,
    batch_norm_momentum: float = 0.9,
    batch_norm_epsilon: float = 1e-5,
    bn_group_size: int | None = None,
    dtype: jnp.dtype = jnp.float32,
    **fields: Any,
) -> HRNet:
    def wide(number: int) -> int:
        return scaled(number, width_coefficient)

    def deep(number: int) -> int:
        return scaled(number, depth_coefficient)

    return HRNet(
        widths=tuple(map(wide, (48, 96, 192, 384))),
        stem=wide(64),
        bottlenecks=deep(4),
        modules=tuple(map(deep, (1, 4, 3))),
        blocks=deep(4),
        norm=Norm(batch_norm_momentum, batch_norm_epsilon, dtype, bn_group_size),
        **fields,
    )


HRNETS = {
    "hrnet-w48": Backbone(
        make=_make,
        native_size=224,
        image_size=256,
        texture_stage="L1",
        attention_stage="final",
        options=OPTIONS,
    )
}
