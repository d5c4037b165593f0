"""ResNets (He et al., 2016), strides where PyTorch's or TF-slim's have them, and SE-ResNeXt-50."""

from __future__ import annotations

import functools
from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

from matnet_jax.backbones.base import Backbone, scaled
from matnet_jax.nn.batch_norm import BatchNorm, Norm
from matnet_jax.nn.initializers import CONV
from matnet_jax.nn.layers import Conv, same_padding

ONE, THREE = ((1, 1), (1, 1)), ((3, 3), (3, 3))
EXPANSION = 4
SE_GROUPS, SE_REDUCTION = 32, 16
BlockName = Literal["bottleneck", "basic", "se"]


class Residual(nn.Module):
    """What the blocks share: the input, projected where shapes differ, is added before the ReLU.

    Attributes:
      planes: channels inside.
      features: channels of the output.
      stride: of the one 3×3 convolution that has it.
      norm: fields of the batch norms.
    """

    planes: int
    features: int
    stride: int = 1
    norm: Norm = Norm()

    def conv_norm(
        self,
        x: jax.Array,
        name: str,
        features: int,
        size: int,
        stride: int,
        train: bool,
        weight: Any,
    ) -> jax.Array:
        """``conv_NAME`` and ``bn_NAME``."""
        conv = Conv(
            features,
            size,
            stride,
            padding=ONE if size == 3 else None,
            dtype=self.norm.dtype,
            name=f"conv_{name}",
        )
        return BatchNorm(*self.norm, name=f"bn_{name}")(conv(x), train=train, weight=weight)

    def added(self, x: jax.Array, y: jax.Array, train: bool, weight: Any) -> jax.Array:
        """relu(y + x), x brought to y's shape."""
        if x.shape[-1] != self.features:
            x = self.conv_norm(x, "skip", self.features, 1, self.stride, train, weight)
        return nn.relu(y + x[:, :: self.stride, :: self.stride] if x.shape != y.shape else y + x)


class Bottleneck(Residual):
    """1×1, 3×3 and 1×1 convolutions."""

    @nn.compact
    def __call__(self, x: jax.Array, train: bool, weight: jax.Array | None = None) -> jax.Array:
        """[B, H, W, C] -> [B, H', W', features]."""
        y = nn.relu(self.conv_norm(x, "1", self.planes, 1, 1, train, weight))
        y = nn.relu(self.conv_norm(y, "2", self.planes, 3, self.stride, train, weight))
        return self.added(
            x, self.conv_norm(y, "3", self.features, 1, 1, train, weight), train, weight
        )


class BasicBlock(Residual):
    """Two 3×3 convolutions."""

    @nn.compact
    def __call__(self, x: jax.Array, train: bool, weight: jax.Array | None = None) -> jax.Array:
        """[B, H, W, C] -> [B, H', W', features]."""
        y = nn.relu(self.conv_norm(x, "1", self.planes, 3, self.stride, train, weight))
        return self.added(
            x, self.conv_norm(y, "2", self.features, 3, 1, train, weight), train, weight
        )


class GroupedConv(nn.Module):
    """3×3 convolution of many groups: [B, H, W, C] -> [B, H', W', features].

    One product for all groups, where `Conv` has one for each. Kernel [3, 3, C / groups, features].
    """

    features: int
    stride: int
    groups: int
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """See the class."""
        shape = (3, 3, x.shape[-1] // self.groups, self.features)
        return lax.conv_general_dilated(
            x.astype(self.dtype),
            self.param("kernel", CONV, shape).astype(self.dtype),
            (self.stride, self.stride),
            ONE,
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
            feature_group_count=self.groups,
        )


class SEBottleneck(Residual):
    """A bottleneck of twice the channels in groups, whose result is scaled channel by channel."""

    @nn.compact
    def __call__(self, x: jax.Array, train: bool, weight: jax.Array | None = None) -> jax.Array:
        """[B, H, W, C] -> [B, H', W', features]."""
        groups = min(SE_GROUPS, self.planes)
        wide = -(-2 * self.planes // groups) * groups
        y = nn.relu(self.conv_norm(x, "1", wide, 1, 1, train, weight))
        grouped = GroupedConv(wide, self.stride, groups, self.norm.dtype, name="conv_2")
        y = BatchNorm(*self.norm, name="bn_2")(grouped(y), train=train, weight=weight)
        y = self.conv_norm(nn.relu(y), "3", self.features, 1, 1, train, weight)
        fields: dict[str, Any] = {"kernel_size": 1, "use_bias": True, "dtype": self.norm.dtype}
        mean = jnp.mean(y.astype(jnp.float32), axis=(1, 2), keepdims=True)
        hidden = Conv(max(self.features // SE_REDUCTION, 1), name="se_reduce", **fields)(mean)
        gate = nn.sigmoid(Conv(self.features, name="se_expand", **fields)(nn.relu(hidden)))
        return self.added(x, y * gate, train, weight)


class ResNet(nn.Module):
    """Images [B, H, W, 3] -> {"stem", "L1", …, "L4", "final"}: each [B, h, w, C]; "final" is L4.

    Attributes:
      depths: blocks of each stage.
      width: channels of the stem.
      slim: as TF-slim's `resnet_v1_50` is: a stage's stride stands in its last block instead of its
        first, but for the last stage, and the max-pool is padded as TensorFlow pads.
      block: "bottleneck", "basic", or "se": grouped bottlenecks that squeeze and excite, after a
        max-pool without padding.
      norm: fields of the batch norms.
      remat: keeps only what goes from block to block, and computes the rest again.
    """

    depths: tuple[int, ...] = (3, 4, 6, 3)
    width: int = 64
    slim: bool = False
    block: BlockName = "bottleneck"
    norm: Norm = Norm()
    remat: bool = False

    @property
    def endpoint_channels(self) -> dict[str, int]:
        """Channels of every endpoint, known without running the network."""
        wide = [self.expansion * self.width * 2**stage for stage in range(len(self.depths))]
        stages = {f"L{i}": channels for i, channels in enumerate(wide, start=1)}
        return {"stem": self.width} | stages | {"final": wide[-1]}

    @property
    def expansion(self) -> int:
        """Channels of a block's result to one inside."""
        return 1 if self.block == "basic" else EXPANSION

    def stride(self, stage: int, block: int) -> int:
        """Of block 0, 1, … of stage 1 to 4."""
        if self.slim:
            return 2 if stage < len(self.depths) and block == self.depths[stage - 1] - 1 else 1
        return 2 if stage > 1 and block == 0 else 1

    @nn.compact
    def __call__(
        self, images: jax.Array, train: bool, weight: jax.Array | None = None
    ) -> dict[str, jax.Array]:
        """See the class."""
        conv = Conv(self.width, 7, 2, padding=THREE, dtype=self.norm.dtype, name="stem_conv")
        norm = BatchNorm(*self.norm, name="stem_bn")
        x = nn.relu(norm(conv(images), train=train, weight=weight))
        padding = same_padding(x.shape[1:3], 3, 2) if self.slim else ONE
        if self.block == "se":
            padding = (0, (x.shape[1] - 3) % 2), (0, (x.shape[2] - 3) % 2)
        x = nn.max_pool(x, (3, 3), (2, 2), padding)
        endpoints = {"stem": x}
        kind = {"bottleneck": Bottleneck, "basic": BasicBlock, "se": SEBottleneck}[self.block]
        block_type = nn.remat(kind, static_argnums=(2,)) if self.remat else kind
        for stage, depth in enumerate(self.depths, start=1):
            planes = self.width * 2 ** (stage - 1)
            for i in range(depth):
                x = block_type(
                    planes,
                    self.expansion * planes,
                    self.stride(stage, i),
                    self.norm,
                    name=f"stage_{stage}_block_{i}",
                )(x, train, weight)
            endpoints[f"L{stage}"] = x
        return endpoints | {"final": x}


def _make(
    slim: bool,
    block: BlockName,
    *,
    width_coefficient: float = 1.0,
    depth_coefficient: float = 1.0,
    batch_norm_momentum: float | None = None,
    batch_norm_epsilon: float = 1e-5,
    bn_group_size: int | None = None,
    dtype: jnp.dtype = jnp.float32,
    **fields: Any,
) -> ResNet:
    momentum = (0.997 if slim else 0.9) if batch_norm_momentum is None else batch_norm_momentum
    return ResNet(
        depths=tuple(scaled(depth, depth_coefficient) for depth in (3, 4, 6, 3)),
        width=scaled(64, width_coefficient),
        slim=slim,
        block=block,
        norm=Norm(momentum, batch_norm_epsilon, dtype, bn_group_size),
        **fields,
    )


OPTIONS = (
    "width_coefficient",
    "depth_coefficient",
    "batch_norm_momentum",
    "batch_norm_epsilon",
)


def entry(*, slim: bool = False, block: BlockName = "bottleneck") -> Backbone:
    """The line of a variant in the table of backbones."""
    return Backbone(
        make=functools.partial(_make, slim, block),
        native_size=224,
        image_size=224,
        # As of ConvNeXt, whose strides these are; slim's are twice as long.
        texture_stage="L1",
        attention_stage="L2" if slim else "L3",
        options=OPTIONS,
    )


RESNETS = {
    "resnet-50": entry(),
    "resnet-50-slim": entry(slim=True),
    "resnet-34": entry(block="basic"),
    "se-resnext-50": entry(block="se"),
}
