"""Vision transformers (Dosovitskiy et al., 2021) as CLIP and DINOv2 have them, block by block."""

from __future__ import annotations

import functools
import math
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from matnet_jax.backbones.base import Backbone, scaled
from matnet_jax.nn.attention import attend
from matnet_jax.nn.initializers import ONES, ZEROS, TruncatedNormal
from matnet_jax.nn.layers import Conv, Dense, LayerNorm
from matnet_jax.nn.resize import resize_bicubic
from matnet_jax.nn.singular import SingularDense

HEAD_SIZE, MLP_RATIO = 64, 4
KERNEL = TruncatedNormal(0.02)
VALID = ((0, 0), (0, 0))
CLASS_TOKEN, CLASS_ATTENTION = "class_token", "class_attention"
"""Endpoints [B, 1, 1, C] and [B, h, w, heads] beside the blocks' tokens."""


class Form(NamedTuple):
    """What the blocks of a family of transformers have in common.

    Attributes:
      norm_first: tokens are normalised before the first block, and patches have no bias (CLIP).
      quick_gelu: x·σ(1.702·x) in place of GELU.
      layer_scale: each branch is scaled a channel.
      epsilon: of the norms.
    """

    norm_first: bool
    quick_gelu: bool
    layer_scale: bool
    epsilon: float


CLIP, DINOV2 = Form(True, True, False, 1e-5), Form(False, False, True, 1e-6)


class Variant(NamedTuple):
    """One network.

    Attributes:
      form: see `Form`.
      patch: side of a patch in pixels.
      heads: of 64 channels each.
      depth: blocks.
      grid: patches a side that it has positions for.
      registers: tokens beside the class's that stand for no place.
    """

    form: Form
    patch: int
    heads: int
    depth: int
    grid: int
    registers: int = 0


VIT_VARIANTS = {
    "clip-vit-b-32": Variant(CLIP, 32, 12, 12, 7),
    "clip-vit-b-16": Variant(CLIP, 16, 12, 12, 14),
    "clip-vit-l-14": Variant(CLIP, 14, 16, 24, 16),
    "clip-vit-l-14-336": Variant(CLIP, 14, 16, 24, 24),
    "dinov2-vit-s-14": Variant(DINOV2, 14, 6, 12, 37),
    "dinov2-vit-b-14": Variant(DINOV2, 14, 12, 12, 37),
    "dinov2-vit-l-14": Variant(DINOV2, 14, 16, 24, 37),
    "dinov2-vit-s-14-reg": Variant(DINOV2, 14, 6, 12, 37, registers=4),
    "dinov2-vit-b-14-reg": Variant(DINOV2, 14, 12, 12, 37, registers=4),
    "dinov2-vit-l-14-reg": Variant(DINOV2, 14, 16, 24, 37, registers=4),
}


class SelfAttention(nn.Module):
    """Tokens [B, T, C] -> (what they take from each other [B, T, C], `class_attention` [B, h, T]).

    Attributes:
      heads: h.
      rank: singular triplets of each linear layer that stand apart; 0: none.
      dtype: of computation.
    """

    heads: int
    rank: int = 0
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        """See the class."""

        def linear(name: str) -> nn.Module:
            if self.rank:
                return SingularDense(x.shape[-1], self.rank, self.dtype, KERNEL, name=name)
            return Dense(x.shape[-1], self.dtype, KERNEL, name=name)

        shape = (*x.shape[:2], self.heads, x.shape[-1] // self.heads)
        query, key, value = (linear(n)(x).reshape(shape) for n in ("query", "key", "value"))
        taken = attend(query, key, value)
        # The compiler drops what no one asks for: all of these but the last block's.
        looked_at = class_attention(query[:, 0], key)
        return linear("out")(taken.reshape(x.shape)), looked_at


def class_attention(query: jax.Array, key: jax.Array) -> jax.Array:
    """How one query attends to tokens: [B, heads, d], [B, T, heads, d] -> float32 [B, heads, T]."""
    scores = jnp.einsum("bhd,bthd->bht", query, key, preferred_element_type=jnp.float32)
    return jax.nn.softmax(scores / math.sqrt(query.shape[-1]))


class Block(nn.Module):
    """A norm before each of attention and a ×4 wide layer, each added: as `SelfAttention`.

    Attributes:
      heads, rank, dtype: see `SelfAttention`.
      form: see `Form`.
    """

    heads: int
    form: Form
    rank: int = 0
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        """See the class."""
        channels = x.shape[-1]
        norm = functools.partial(LayerNorm, self.form.epsilon, self.dtype)

        def scaled(y: jax.Array, name: str) -> jax.Array:
            if not self.form.layer_scale:
                return y
            return y * self.param(name, ONES, (channels,)).astype(self.dtype)

        attention = SelfAttention(self.heads, self.rank, self.dtype, name="attention")
        taken, looked_at = attention(norm(name="norm_1")(x))
        x = x + scaled(taken, "layer_scale_1")
        y = Dense(MLP_RATIO * channels, self.dtype, KERNEL, name="expand")(norm(name="norm_2")(x))
        y = y * nn.sigmoid(1.702 * y) if self.form.quick_gelu else nn.gelu(y, approximate=False)
        y = Dense(channels, self.dtype, KERNEL, name="project")(y)
        return x + scaled(y, "layer_scale_2"), looked_at


class ViT(nn.Module):
    """Images [B, H, W, 3] -> {"stem", "block1", …, "class_attention", "class_token", "final"}.

    "stem" and "blockN" are the patches' tokens [B, h, w, C], h and w whole patches of the image, as
    they enter the first block and leave the N-th. "class_token" [B, 1, 1, C] is the class's,
    normalised: what the published networks give for an image. "class_attention" [B, h, w, heads]
    float32 is how it attends to patches in the last block. "final" is the patches' tokens,
    normalised.

    Attributes:
      variant: see `Variant`.
      rank: see `SelfAttention`.
      remat: keeps only what goes from block to block, and computes the rest again.
      dtype: of computation.
    """

    variant: Variant
    rank: int = 0
    remat: bool = False
    dtype: jnp.dtype = jnp.float32

    @property
    def width(self) -> int:
        """Channels of a token."""
        return HEAD_SIZE * self.variant.heads

    @property
    def endpoint_channels(self) -> dict[str, int]:
        """Channels of every endpoint, known without running the network."""
        blocks = {f"block{i}": self.width for i in range(1, self.variant.depth + 1)}
        classes = {CLASS_ATTENTION: self.variant.heads, CLASS_TOKEN: self.width}
        return {"stem": self.width} | blocks | classes | {"final": self.width}

    @nn.compact
    def __call__(
        self, images: jax.Array, train: bool, weight: jax.Array | None = None
    ) -> dict[str, jax.Array]:
        """See the class."""
        del train, weight  # no dropout, and no statistics of a batch
        form, heads = self.variant.form, self.variant.heads
        norm = functools.partial(LayerNorm, form.epsilon, self.dtype)
        x, size = self._embed(images)
        if form.norm_first:
            x = norm(name="norm_first")(x)
        places = (images.shape[0], *size)  # a number, or an export's symbol
        others = x.shape[1] - size[0] * size[1]

        def patches(tokens: jax.Array) -> jax.Array:
            return tokens[:, others:].reshape(*places, -1)

        endpoints, looked_at = {"stem": patches(x)}, jnp.zeros(())
        block_type = nn.remat(Block) if self.remat else Block
        for i in range(self.variant.depth):
            block = block_type(heads, form, self.rank, self.dtype, name=f"block_{i}")
            x, looked_at = block(x)
            endpoints[f"block{i + 1}"] = patches(x)
        x = norm(name="norm_last")(x)
        return endpoints | {
            CLASS_ATTENTION: patches(looked_at.swapaxes(1, 2)),
            CLASS_TOKEN: x[:, :1, None],
            "final": patches(x),
        }

    def _embed(self, images: jax.Array) -> tuple[jax.Array, tuple[int, int]]:
        """Tokens [B, 1 + registers + h·w, C] of images, with their positions; and (h, w)."""
        side, grid, width = self.variant.patch, self.variant.grid, self.width
        # What is left over at the right and the lower border of an image is not seen.
        conv = Conv(
            width,
            side,
            side,
            use_bias=not self.variant.form.norm_first,
            padding=VALID,
            dtype=self.dtype,
            kernel_init=KERNEL,
            name="patch_conv",
        )
        patches = conv(images)
        size = patches.shape[1], patches.shape[2]
        positions = self.param("position_embedding", KERNEL, (1 + grid**2, width))
        # Networks with registers were published with antialiasing where positions are resized.
        places = resize_bicubic(
            positions[1:].reshape(1, grid, grid, width),
            size,
            antialias=self.variant.registers > 0,
        )
        patches = patches + places.astype(self.dtype)
        token = self.param("class_embedding", KERNEL, (width,)) + positions[0]
        first = token[None]
        if self.variant.registers:
            shape = (self.variant.registers, width)
            registers = self.param("register_tokens", ZEROS, shape)
            first = jnp.concatenate([first, registers])
        batch = images.shape[0]
        first = jnp.broadcast_to(first.astype(self.dtype), (batch, *first.shape))
        tokens = patches.reshape(batch, size[0] * size[1], width)
        return jnp.concatenate([first, tokens], axis=1), size


def _make(
    variant: Variant,
    *,
    width_coefficient: float = 1.0,
    depth_coefficient: float = 1.0,
    bn_group_size: int | None = None,
    **fields: Any,
) -> ViT:
    del bn_group_size  # heads have batch norm, this backbone has none
    heads = scaled(variant.heads, width_coefficient)
    depth = scaled(variant.depth, depth_coefficient)
    return ViT(variant._replace(heads=heads, depth=depth), **fields)


def entry(variant: Variant) -> Backbone:
    """The line of a variant in the table of backbones."""
    return Backbone(
        make=functools.partial(_make, variant),
        native_size=518 if variant.form is DINOV2 else variant.patch * variant.grid,
        image_size=336 if variant.grid == 24 else 224,
        # Textures a quarter of the way up, attention three quarters.
        texture_stage=f"block{variant.depth // 4}",
        attention_stage=f"block{variant.depth * 3 // 4}",
        options=("width_coefficient", "depth_coefficient"),
    )


VITS = {name: entry(variant) for name, variant in VIT_VARIANTS.items()}
