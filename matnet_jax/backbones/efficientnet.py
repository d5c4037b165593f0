"""EfficientNet B0–B7 as a feature extractor with every stage as a named endpoint."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from matnet_jax.backbones.base import Backbone
from matnet_jax.nn.activations import swish
from matnet_jax.nn.batch_norm import BatchNorm, Norm
from matnet_jax.nn.initializers import CONV
from matnet_jax.nn.layers import Conv, DepthwiseConv, drop_path
from matnet_jax.nn.product import matrix_product


class Variant(NamedTuple):
    """Compound scaling of one EfficientNet, and the image size (pixels) it was designed for."""

    width: float
    depth: float
    native_size: int
    classifier_dropout: float


VARIANTS = {
    "efficientnet-b0": Variant(1.0, 1.0, 224, 0.2),
    "efficientnet-b1": Variant(1.0, 1.1, 240, 0.2),
    "efficientnet-b2": Variant(1.1, 1.2, 260, 0.3),
    "efficientnet-b3": Variant(1.2, 1.4, 300, 0.3),
    # The released classifiers on B4 and B5 use no dropout, unlike the original EfficientNets.
    "efficientnet-b4": Variant(1.4, 1.8, 380, 0.0),
    "efficientnet-b5": Variant(1.6, 2.2, 456, 0.0),
    "efficientnet-b6": Variant(1.8, 2.6, 528, 0.5),
    "efficientnet-b7": Variant(2.0, 3.1, 600, 0.5),
}


class Stage(NamedTuple):
    """One of the seven stages of B0, before scaling."""

    repeats: int
    kernel_size: int
    stride: int
    expansion: int
    channels: int


STAGES = (
    Stage(1, 3, 1, 1, 16),
    Stage(2, 3, 2, 6, 24),
    Stage(2, 5, 2, 6, 40),
    Stage(3, 3, 2, 6, 80),
    Stage(3, 5, 1, 6, 112),
    Stage(4, 5, 2, 6, 192),
    Stage(1, 3, 1, 6, 320),
)
STEM_CHANNELS, HEAD_CHANNELS, SQUEEZE_RATIO = 32, 1280, 0.25


def scaled_channels(channels: int, width: float) -> int:
    """Channels times width, to the nearest multiple of 8, losing at most a tenth."""
    scaled = channels * width
    rounded = max(8, int(scaled + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * scaled else rounded


class SqueezeExcite(nn.Module):
    """Scales channels by a gate computed from their spatial means: [B, H, W, C] -> same."""

    squeezed_channels: int
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """See the class."""
        pooled = jnp.mean(x.astype(jnp.float32), axis=(1, 2), keepdims=True).astype(self.dtype)
        conv: dict[str, Any] = {"kernel_size": 1, "use_bias": True, "dtype": self.dtype}
        hidden = swish(Conv(self.squeezed_channels, name="reduce", **conv)(pooled))
        return x * nn.sigmoid(Conv(x.shape[-1], name="expand", **conv)(hidden))


class TemporalConv(nn.Module):
    """1×1 over a frame, the one before and the one after: [B·T, H, W, C] -> [B·T, H, W, features].

    Beyond a clip's ends are zeros. Kernel [3, 1, C, features], in the order of time.
    """

    features: int
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, frames: int) -> jax.Array:
        """See the class; `frames` is T."""
        kernel = self.param("kernel", CONV, (3, 1, x.shape[-1], self.features)).astype(self.dtype)
        clips = x.astype(self.dtype).reshape(-1, frames, *x.shape[1:])
        padded = jnp.pad(clips, ((0, 0), (1, 1), *[(0, 0)] * 3))
        y = sum(matrix_product(padded[:, t : t + frames], kernel[t, 0]) for t in range(3))
        return jnp.asarray(y).reshape(*x.shape[:-1], self.features)


class MBConv(nn.Module):
    """Inverted residual block: expand, depthwise, squeeze and excite, project, skip."""

    features: int
    kernel_size: int
    stride: int
    expansion: int
    drop_rate: float
    nominal_size: int | None
    norm: Norm
    activation: Callable[[jax.Array], jax.Array] = swish
    squeeze: bool = True
    temporal: bool = False

    @nn.compact
    def __call__(
        self, x: jax.Array, train: bool, weight: jax.Array | None = None, frames: int = 1
    ) -> jax.Array:
        """See the class; `frames` of a clip follow each other in the batch."""

        def norm(y: jax.Array, name: str) -> jax.Array:
            return BatchNorm(*self.norm, name=name)(y, train=train, weight=weight)

        inputs, channels, dtype = x, x.shape[-1], self.norm.dtype
        if self.expansion != 1:
            wide: dict[str, Any] = {"features": channels * self.expansion, "dtype": dtype}
            if self.temporal:
                x = TemporalConv(**wide, name="expand_conv")(x, frames)
            else:
                x = Conv(**wide, kernel_size=1, name="expand_conv")(x)
            x = self.activation(norm(x, "expand_bn"))
        depthwise = DepthwiseConv(
            self.kernel_size,
            self.stride,
            nominal_size=self.nominal_size,
            dtype=dtype,
            name="depthwise_conv",
        )
        x = self.activation(norm(depthwise(x), "depthwise_bn"))
        if self.squeeze:
            x = SqueezeExcite(max(1, int(channels * SQUEEZE_RATIO)), dtype, name="se")(x)
        project = Conv(self.features, kernel_size=1, dtype=dtype, name="project_conv")
        x = norm(project(x), "project_bn")
        if self.stride == 1 and channels == self.features:
            if train and self.drop_rate > 0:
                x = drop_path(x, self.make_rng("dropout"), self.drop_rate)
            x = x + inputs
        return x


class EfficientNet(nn.Module):
    """Images [B, H, W, 3] -> {"stem", "L1", …, "L7", "final"}: each [B, h, w, C].

    Attributes:
      width, depth: compound scaling coefficients.
      nominal_size: size that SAME padding is computed from (the released code's way); None pads
        by the real sizes.
      stochastic_depth_rate: grows linearly with the block index from 0 to this.
      remat: keeps only what goes from block to block, and computes the rest again.
      norm: fields of the batch norms; for `weight` in the call see `BatchNorm`.
      activation, squeeze: the nonlinearity, and whether blocks squeeze and excite.
      temporal: takes clips [B, T, H, W, 3] too, whose blocks expand over three frames; endpoints
        are of B·T frames.
    """

    width: float
    depth: float
    nominal_size: int | None = None
    stochastic_depth_rate: float = 0.2
    norm: Norm = Norm(0.99, 1e-3)
    remat: bool = False
    activation: Callable[[jax.Array], jax.Array] = swish
    squeeze: bool = True
    temporal: bool = False

    @property
    def endpoint_channels(self) -> dict[str, int]:
        """Channels of every endpoint, known without running the network."""
        channels = {"stem": scaled_channels(STEM_CHANNELS, self.width)}
        for i, stage in enumerate(STAGES, start=1):
            channels[f"L{i}"] = scaled_channels(stage.channels, self.width)
        return channels | {"final": scaled_channels(HEAD_CHANNELS, self.width)}

    @property
    def repeats(self) -> list[int]:
        """Blocks of every stage."""
        return [math.ceil(stage.repeats * self.depth) for stage in STAGES]

    @nn.compact
    def __call__(
        self, images: jax.Array, train: bool, weight: jax.Array | None = None
    ) -> dict[str, jax.Array]:
        """See the class."""
        channels, frames = self.endpoint_channels, 1
        if self.temporal and images.ndim == 5:
            frames = images.shape[1]
            images = images.reshape(-1, *images.shape[2:])
            weight = None if weight is None else jnp.repeat(weight, frames)
        mode: dict[str, Any] = {"train": train, "weight": weight}
        stem = Conv(
            channels["stem"],
            stride=2,
            nominal_size=self.nominal_size,
            dtype=self.norm.dtype,
            name="stem_conv",
        )
        x = self.activation(BatchNorm(*self.norm, name="stem_bn")(stem(images), **mode))
        endpoints = {"stem": x}

        repeats = self.repeats
        block_type = nn.remat(MBConv, static_argnums=(2, 4)) if self.remat else MBConv
        block = 0
        for i, (stage, count) in enumerate(zip(STAGES, repeats, strict=True), start=1):
            for repeat in range(count):
                x = block_type(
                    features=channels[f"L{i}"],
                    kernel_size=stage.kernel_size,
                    stride=stage.stride if repeat == 0 else 1,
                    expansion=stage.expansion,
                    drop_rate=self.stochastic_depth_rate * block / sum(repeats),
                    nominal_size=self.nominal_size,
                    norm=self.norm,
                    activation=self.activation,
                    squeeze=self.squeeze,
                    temporal=self.temporal,
                    name=f"block_{block}",
                )(x, train, weight, frames)
                block += 1
            endpoints[f"L{i}"] = x

        head = Conv(channels["final"], kernel_size=1, dtype=self.norm.dtype, name="head_conv")
        x = self.activation(BatchNorm(*self.norm, name="head_bn")(head(x), **mode))
        return endpoints | {"final": x}


def make(
    kind: type[EfficientNet],
    variant: Variant,
    *,
    padding: str = "same",
    nominal_size: int | None = None,
    width_coefficient: float | None = None,
    depth_coefficient: float | None = None,
    stochastic_depth_rate: float = 0.2,
    batch_norm_momentum: float = 0.99,
    batch_norm_epsilon: float = 1e-3,
    dtype: jnp.dtype = jnp.float32,
    bn_group_size: int | None = None,
    **fields: Any,
) -> EfficientNet:
    """The network that a detector's options describe, None and absent ones the variant's own."""
    if padding not in ("same", "nominal"):
        raise ValueError(f"unknown padding '{padding}'; available: same, nominal")
    return kind(
        width=width_coefficient or variant.width,
        depth=depth_coefficient or variant.depth,
        nominal_size=(nominal_size or variant.native_size) if padding == "nominal" else None,
        stochastic_depth_rate=stochastic_depth_rate,
        norm=Norm(batch_norm_momentum, batch_norm_epsilon, dtype, bn_group_size),
        **fields,
    )


OPTIONS = (
    "padding",
    "nominal_size",
    "width_coefficient",
    "depth_coefficient",
    "stochastic_depth_rate",
    "batch_norm_momentum",
    "batch_norm_epsilon",
)

EFFICIENTNETS = {
    name: Backbone(
        make=functools.partial(make, EfficientNet, variant),
        native_size=variant.native_size,
        image_size=380,  # the paper's, whatever the variant
        texture_stage="L2",
        attention_stage="L5",
        classifier_dropout=variant.classifier_dropout,
        options=OPTIONS,
    )
    for name, variant in VARIANTS.items()
}
