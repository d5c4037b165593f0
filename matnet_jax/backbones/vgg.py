"""VGG-19 up to its third pooling: a trunk that networks put heads of their own on."""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp

from matnet_jax.nn.layers import Conv

BLOCKS = ((64, 64), (128, 128), (256, 256, 256, 256))
"""Channels of the convolutions before each pooling."""


class VGG19Trunk(nn.Module):
    """Images [B, H, W, 3] -> [B, H // 8, W // 8, 256]: 2,325,568 numbers, no normalisation.

    Simonyan and Zisserman, "Very deep convolutional networks for large-scale image recognition",
    2014, in torchvision's form: 3×3 convolutions with bias and ReLU, 2×2 max-pools.
    """

    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, images: jax.Array) -> jax.Array:
        """See the class."""
        x = images
        for i, channels in enumerate(BLOCKS, start=1):
            for j, features in enumerate(channels, start=1):
                conv = Conv(features, use_bias=True, dtype=self.dtype, name=f"conv_{i}_{j}")
                x = nn.relu(conv(x))
            x = nn.max_pool(x, (2, 2), (2, 2))
        return x
