"""Attention module and bilinear attention pooling (sections 3.2 and figure 3 of the paper)."""

from __future__ import annotations

from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from matnet_jax.nn.batch_norm import BatchNorm
from matnet_jax.nn.layers import Conv
from matnet_jax.nn.norms import l2_normalize
from matnet_jax.nn.resize import Size, nearest_weights, resize_bilinear

_MASK_SIZE, _MASK_BORDER = 24, 2


def border_mask(size: Size) -> np.ndarray:
    """The released code's mask [h, w, 1]: zeros around a map of ones.

    It is a 24×24 map whose outer 2 cells are 0, resized by nearest neighbour.
    """
    mask = np.zeros((_MASK_SIZE, _MASK_SIZE), np.float32)
    mask[_MASK_BORDER:-_MASK_BORDER, _MASK_BORDER:-_MASK_BORDER] = 1.0
    rows, cols = (nearest_weights(_MASK_SIZE, n) for n in size)
    return (rows @ mask @ cols.T)[:, :, None].astype(np.float32)


class AttentionModule(nn.Module):
    """Deep features [B, h, w, C] -> attention maps A [B, h, w, M], not negative.

    Attributes:
      num_attentions: M.
      version: "paper" is 1×1 convolution, batch norm, ReLU; "released" is 3×3 convolution, batch
        norm, ReLU, 1×1 convolution, batch norm, ELU + 1, times the border mask.
      bn_group_size: see `BatchNorm`, as for `weight` in the call.
    """

    num_attentions: int
    version: Literal["paper", "released"] = "paper"
    dtype: jnp.dtype = jnp.float32
    bn_group_size: int | None = None

    @nn.compact
    def __call__(
        self, features: jax.Array, train: bool, weight: jax.Array | None = None
    ) -> jax.Array:
        """See the class."""
        norm: dict[str, Any] = {"dtype": self.dtype, "group_size": self.bn_group_size}
        mode: dict[str, Any] = {"train": train, "weight": weight}
        x = features
        if self.version == "released":
            extract = Conv(x.shape[-1], use_bias=True, dtype=self.dtype, name="extract_conv")
            x = nn.relu(BatchNorm(**norm, name="extract_bn")(extract(x), **mode))
        project = Conv(self.num_attentions, kernel_size=1, dtype=self.dtype, name="project_conv")
        x = BatchNorm(**norm, name="project_bn")(project(x), **mode)
        if self.version == "paper":
            return nn.relu(x)
        return (nn.elu(x) + 1.0) * jnp.asarray(border_mask(x.shape[1:3]), x.dtype)


def attention_sums(features: jax.Array, attention_maps: jax.Array) -> jax.Array:
    """s_k = Σ_{m,n} A_k(m, n)·F(m, n), the maps resized to the features' size (eq. 2).

    Args:
      features: F, [B, H, W, C] shared by all maps, or [B, H, W, M, C] with each map's own.
      attention_maps: A, [B, h, w, M].

    Returns:
      [B, M, C] float32.
    """
    maps = resize_bilinear(attention_maps, features.shape[1:3]).astype(features.dtype)
    subscripts = "bhwm,bhwc->bmc" if features.ndim == 4 else "bhwm,bhwmc->bmc"
    return jnp.einsum(subscripts, maps, features, preferred_element_type=jnp.float32)


def bilinear_attention_pooling(features: jax.Array, attention_maps: jax.Array) -> jax.Array:
    """v_k = s_k / ‖s_k‖₂ (eq. 2): [B, M, C] float32; a zero map gives zeros.

    Arguments as in `attention_sums`.
    """
    return l2_normalize(attention_sums(features, attention_maps))


def weighted_average_pooling(features: jax.Array, attention_maps: jax.Array) -> jax.Array:
    """Σ(A + 1e-8)·f / Σ(A + 1e-8) over space (the released global feature): [B, M, C] float32."""
    maps = resize_bilinear(attention_maps, features.shape[1:3]).astype(jnp.float32) + 1e-8
    weights = maps / jnp.sum(maps, axis=(1, 2), keepdims=True)
    return attention_sums(features, weights.astype(features.dtype))


def standardize(features: jax.Array) -> jax.Array:
    """Zero mean and unit unbiased deviation (+1e-8) a sample and channel, over space: [B,h,w,C]."""
    wide = features.astype(jnp.float32)
    centred = wide - jnp.mean(wide, axis=(1, 2), keepdims=True)
    count = max(features.shape[1] * features.shape[2] - 1, 1)
    variance = jnp.sum(jnp.square(centred), axis=(1, 2), keepdims=True) / count
    positive = variance > 0
    # A constant channel has deviation 0: keep sqrt'(0) = inf out of the gradient.
    deviation = jnp.where(positive, jnp.sqrt(jnp.where(positive, variance, 1.0)), 0.0)
    return (centred / (deviation + 1e-8)).astype(features.dtype)
