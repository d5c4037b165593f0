"""ConvNeXt (Liu et al., 2022) as a feature extractor with every stage as a named endpoint."""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from matnet_jax.backbones.base import Backbone
from matnet_jax.nn.initializers import Constant, TruncatedNormal
from matnet_jax.nn.layers import Conv, Dense, DepthwiseConv, LayerNorm, drop_path

EPSILON = 1e-6
KERNEL = TruncatedNormal(0.02)
LAYER_SCALE = Constant(1e-6)
VALID = ((0, 0), (0, 0))


class Variant(NamedTuple):
    """Blocks and channels of the four stages; stochastic depth as trained on ImageNet-1k."""

    depths: tuple[int, ...]
    widths: tuple[int, ...]
    stochastic_depth_rate: float


CONVNEXT_VARIANTS = {
    "convnext-tiny": Variant((3, 3, 9, 3), (96, 192, 384, 768), 0.1),
    "convnext-base": Variant((3, 3, 27, 3), (128, 256, 512, 1024), 0.5),
}


class ConvNeXtBlock(nn.Module):
    """Depthwise 7×7, norm, ×4 wide and back, scaled a channel, plus the input: [B, H, W, C]."""

    drop_rate: float
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        inputs, channels = x, x.shape[-1]
        depthwise = DepthwiseConv(
            7, use_bias=True, dtype=self.dtype, kernel_init=KERNEL, name="depthwise_conv"
        )
        x = LayerNorm(EPSILON, self.dtype, name="norm")(depthwise(x))
        x = Dense(4 * channels, self.dtype, KERNEL, name="expand")(x)
        x = Dense(channels, self.dtype, KERNEL, name="project")(nn.gelu(x, approximate=False))
        x = x * self.param("layer_scale", LAYER_SCALE, (channels,)).astype(self.dtype)
        if train and self.drop_rate > 0:
            x = drop_path(x, self.make_rng("dropout"), self.drop_rate)
        return inputs + x


class ConvNeXt(nn.Module):
    """Images [B, H, W, 3] -> {"stem", "L1", …, "L4", "final"}: each [B, h, w, C].

    The classifier of the published code normalises the pooled features, not each place: it computes
    LayerNorm(mean L4). "final" is L4 shifted and scaled by the statistics of its spatial mean, so
    that mean(final) = LayerNorm(mean L4), and whoever averages "final" gets just that.

    Attributes:
      depths, widths: blocks and channels of each stage.
      stochastic_depth_rate: grows linearly from 0 in the first block to this in the last.
      remat: keeps only what goes from block to block, and computes the rest again.
    """

    depths: tuple[int, ...]
    widths: tuple[int, ...]
    stochastic_depth_rate: float = 0.0
    remat: bool = False
    dtype: jnp.dtype = jnp.float32

    @property
    def endpoint_channels(self) -> dict[str, int]:
        """Channels of every endpoint, known without running the network."""
        stages = {f"L{i}": width for i, width in enumerate(self.widths, start=1)}
        return {"stem": self.widths[0]} | stages | {"final": self.widths[-1]}

    @nn.compact
    def __call__(
        self, images: jax.Array, train: bool, weight: jax.Array | None = None
    ) -> dict[str, jax.Array]:
        del weight  # for batch statistics, of which there are none
        conv: dict[str, Any] = {
            "use_bias": True,
            "padding": VALID,
            "dtype": self.dtype,
            "kernel_init": KERNEL,
        }
        norm = functools.partial(LayerNorm, EPSILON, self.dtype)
        x = norm(name="stem_norm")(Conv(self.widths[0], 4, 4, name="stem_conv", **conv)(images))
        endpoints = {"stem": x}

        block_type = nn.remat(ConvNeXtBlock, static_argnums=(2,)) if self.remat else ConvNeXtBlock
        last, block = max(sum(self.depths) - 1, 1), 0
        for stage, (depth, width) in enumerate(zip(self.depths, self.widths, strict=True)):
            if stage > 0:
                x = norm(name=f"stage_{stage}_norm")(x)
                x = Conv(width, 2, 2, name=f"stage_{stage}_conv", **conv)(x)
            for repeat in range(depth):
                rate = self.stochastic_depth_rate * block / last
                x = block_type(rate, self.dtype, name=f"stage_{stage}_block_{repeat}")(x, train)
                block += 1
            endpoints[f"L{stage + 1}"] = x
        pooled = jnp.mean(x.astype(jnp.float32), axis=(1, 2), keepdims=True)
        return endpoints | {"final": norm(name="norm")(x, like=pooled)}


def _make(
    variant: Variant,
    *,
    stochastic_depth_rate: float | None = None,
    bn_group_size: int | None = None,
    **fields: Any,
) -> ConvNeXt:
    del bn_group_size  # heads have batch norm, this backbone has none
    if stochastic_depth_rate is None:
        stochastic_depth_rate = variant.stochastic_depth_rate
    return ConvNeXt(variant.depths, variant.widths, stochastic_depth_rate, **fields)


def entry(variant: Variant) -> Backbone:
    """The line of a variant in the table of backbones."""
    return Backbone(
        make=functools.partial(_make, variant),
        native_size=224,
        # Not the crops' 380: patches are cut without padding, so that a size that is no multiple of
        # 32 loses its right and lower border. Any from 32 on runs.
        image_size=224,
        # The strides of B4's L2 and L5, 4 and 16. No stage is finer than L1, and the stem's patches
        # have not seen their neighbours; L4's 7×7 places are few for M parts of a face.
        texture_stage="L1",
        attention_stage="L3",
        options=("stochastic_depth_rate",),
    )


CONVNEXTS = {name: entry(variant) for name, variant in CONVNEXT_VARIANTS.items()}
