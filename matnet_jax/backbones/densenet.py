"""DenseNet-121 (Huang et al., CVPR 2017), with PyTorch's paddings."""

from __future__ import annotations

import functools
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from matnet_jax.backbones.base import Backbone, scaled
from matnet_jax.backbones.resnet import ONE, THREE
from matnet_jax.nn.batch_norm import BatchNorm, Norm
from matnet_jax.nn.layers import Conv

BOTTLENECK = 4  # times the growth: channels between a layer's two convolutions


class NormReluConv(nn.Module):
    """Batch norm, ReLU, convolution: [B, H, W, C] -> [B, H, W, features]."""

    features: int
    kernel_size: int
    norm: Norm = Norm()

    @nn.compact
    def __call__(self, x: jax.Array, train: bool, weight: jax.Array | None = None) -> jax.Array:
        """See the class."""
        x = nn.relu(BatchNorm(*self.norm, name="bn")(x, train=train, weight=weight))
        return Conv(self.features, self.kernel_size, dtype=self.norm.dtype, name="conv")(x)


class DenseBlock(nn.Module):
    """Layers that each see all before them: [B, H, W, C] -> [B, H, W, C + layers·growth].

    Attributes:
      layers: of a 1×1 and a 3×3 convolution each.
      growth: channels that a layer adds.
      norm: fields of the batch norms.
    """

    layers: int
    growth: int
    norm: Norm = Norm()

    @nn.compact
    def __call__(self, x: jax.Array, train: bool, weight: jax.Array | None = None) -> jax.Array:
        """See the class."""
        for i in range(1, self.layers + 1):
            inner = NormReluConv(BOTTLENECK * self.growth, 1, self.norm, name=f"layer_{i}_1")
            outer = NormReluConv(self.growth, 3, self.norm, name=f"layer_{i}_2")
            x = jnp.concatenate([x, outer(inner(x, train, weight), train, weight)], axis=-1)
        return x


class Transition(nn.Module):
    """Half the channels and half the side: [B, H, W, C] -> [B, H // 2, W // 2, C // 2]."""

    norm: Norm = Norm()

    @nn.compact
    def __call__(self, x: jax.Array, train: bool, weight: jax.Array | None = None) -> jax.Array:
        """See the class."""
        half = NormReluConv(x.shape[-1] // 2, 1, self.norm, name="half")
        return nn.avg_pool(half(x, train, weight), (2, 2), (2, 2))


class Stem(nn.Module):
    """7×7 convolution and max-pool, each of stride 2: [B, H, W, 3] -> [B, H / 4, W / 4, width]."""

    width: int
    norm: Norm = Norm()

    @nn.compact
    def __call__(self, x: jax.Array, train: bool, weight: jax.Array | None = None) -> jax.Array:
        """See the class."""
        x = Conv(self.width, 7, 2, padding=THREE, dtype=self.norm.dtype, name="conv")(x)
        x = nn.relu(BatchNorm(*self.norm, name="bn")(x, train=train, weight=weight))
        return nn.max_pool(x, (3, 3), (2, 2), ONE)


class DenseNet(nn.Module):
    """Images [B, H, W, 3] -> {"stem", "L1", …, "L4", "final"}: each [B, h, w, C].

    "L1" to "L3" are taken after their transition, and so at half of their block's side.

    Attributes:
      depths: layers of each block.
      growth: channels that a layer adds.
      width: channels of the stem.
      norm: fields of the batch norms.
      remat: keeps only what goes from block to block, and computes the rest again.
    """

    depths: tuple[int, ...] = (6, 12, 24, 16)
    growth: int = 32
    width: int = 64
    norm: Norm = Norm()
    remat: bool = False

    @property
    def endpoint_channels(self) -> dict[str, int]:
        """Channels of every endpoint, known without running the network."""
        channels, stages = self.width, {"stem": self.width}
        for stage, depth in enumerate(self.depths, start=1):
            channels += depth * self.growth
            if stage < len(self.depths):
                channels //= 2
            stages[f"L{stage}"] = channels
        return stages | {"final": channels}

    def setup(self) -> None:
        """Makes the submodules."""
        block = nn.remat(DenseBlock, static_argnums=(2,)) if self.remat else DenseBlock
        self.stem = Stem(self.width, self.norm)
        for stage, depth in enumerate(self.depths, start=1):
            setattr(self, f"block_{stage}", block(depth, self.growth, self.norm))
            if stage < len(self.depths):
                setattr(self, f"transition_{stage}", Transition(self.norm))
        self.final_bn = BatchNorm(*self.norm)

    def stage(
        self, number: int, x: jax.Array, train: bool, weight: jax.Array | None = None
    ) -> jax.Array:
        """Block `number`, from 1, and what follows it: the output of "L{number}"."""
        x = getattr(self, f"block_{number}")(x, train, weight)
        if number < len(self.depths):
            return getattr(self, f"transition_{number}")(x, train, weight)
        return nn.relu(self.final_bn(x, train=train, weight=weight))

    def __call__(
        self, images: jax.Array, train: bool, weight: jax.Array | None = None
    ) -> dict[str, jax.Array]:
        """See the class."""
        x = self.stem(images, train, weight)
        endpoints = {"stem": x}
        for stage in range(1, len(self.depths) + 1):
            x = endpoints[f"L{stage}"] = self.stage(stage, x, train, weight)
        return endpoints | {"final": x}


def make_densenet(
    depths: tuple[int, ...] = (6, 12, 24, 16),
    *,
    width_coefficient: float = 1.0,
    depth_coefficient: float = 1.0,
    batch_norm_momentum: float = 0.9,
    batch_norm_epsilon: float = 1e-5,
    bn_group_size: int | None = None,
    dtype: jnp.dtype = jnp.float32,
    **fields: Any,
) -> DenseNet:
    """A DenseNet of these blocks, scaled by the factors of a backbone's options."""
    return DenseNet(
        depths=tuple(scaled(depth, depth_coefficient) for depth in depths),
        growth=scaled(32, width_coefficient),
        width=scaled(64, width_coefficient),
        norm=Norm(batch_norm_momentum, batch_norm_epsilon, dtype, bn_group_size),
        **fields,
    )


DENSENETS = {
    "densenet-121": Backbone(
        make=functools.partial(make_densenet, (6, 12, 24, 16)),
        native_size=224,
        image_size=224,
        texture_stage="L1",
        attention_stage="L3",
        options=(
            "width_coefficient",
            "depth_coefficient",
            "batch_norm_momentum",
            "batch_norm_epsilon",
        ),
    )
}
