"""I3D: Inception-v1 inflated over time (Carreira and Zisserman, CVPR 2017)."""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp

from matnet_jax.backbones.base import scaled
from matnet_jax.nn.batch_norm import Norm
from matnet_jax.nn.clips import ConvNorm, Triple, max_pool

Widths = tuple[int, ...]

# Of 1×1; of 1×1 and 3×3; of 1×1 and 3×3 again; of 1×1 after the pool.
MIXED: dict[str, Widths] = {
    "3b": (64, 96, 128, 16, 32, 32),
    "3c": (128, 128, 192, 32, 96, 64),
    "4b": (192, 96, 208, 16, 48, 64),
    "4c": (160, 112, 224, 24, 64, 64),
    "4d": (128, 128, 256, 24, 64, 64),
    "4e": (112, 144, 288, 32, 64, 64),
    "4f": (256, 160, 320, 32, 128, 128),
    "5b": (256, 160, 320, 32, 128, 128),
    "5c": (384, 192, 384, 48, 128, 128),
}
_POOLS: dict[str, Triple] = {"4b": (3, 3, 3), "5b": (2, 2, 2)}
"""Before which blocks time halves, too, and over how much."""


class Mixed(nn.Module):
    """Four branches side by side: [B, T, H, W, C] -> as many channels as their last layers have."""

    widths: Widths
    norm: Norm

    @nn.compact
    def __call__(self, x: jax.Array, train: bool, weight: jax.Array | None = None) -> jax.Array:
        """See the class."""

        def unit(y: jax.Array, name: str, features: int, size: int = 1) -> jax.Array:
            layer = ConvNorm(features, (size,) * 3, padding="same", norm=self.norm, name=name)
            return layer(y, train, weight)

        one, reduce_1, wide_1, reduce_2, wide_2, after = self.widths
        pooled = max_pool(x, (3, 3, 3), (1, 1, 1), "same")
        branches = [
            unit(x, "branch_0", one),
            unit(unit(x, "branch_1_reduce", reduce_1), "branch_1", wide_1, 3),
            unit(unit(x, "branch_2_reduce", reduce_2), "branch_2", wide_2, 3),
            unit(pooled, "branch_3", after),
        ]
        return jnp.concatenate(branches, axis=-1)


class I3D(nn.Module):
    """Clips [B, T, H, W, 3] -> float32 [B, t, C], features by time.

    As in the original, they are means over two steps of time where there are two, and over 7×7
    places, at which clips of 224 pixels have one cell; of larger maps all cells are averaged.

    Attributes:
      width: factor of all channels.
      blocks: of `MIXED`, the ones that there are.
      norm: fields of the batch norms.
      remat: keeps only what goes from block to block, and computes the rest again.
    """

    width: float = 1.0
    blocks: tuple[str, ...] = tuple(MIXED)
    norm: Norm = Norm(0.99, 1e-3)
    remat: bool = False

    @nn.compact
    def __call__(self, clips: jax.Array, train: bool, weight: jax.Array | None = None) -> jax.Array:
        """See the class."""

        def unit(x: jax.Array, name: str, features: int, size: int, stride: int = 1) -> jax.Array:
            wide = scaled(features, self.width)
            layer = ConvNorm(wide, (size,) * 3, (stride,) * 3, "same", self.norm, name=name)
            return layer(x, train, weight)

        block_type = nn.remat(Mixed, static_argnums=(2,)) if self.remat else Mixed
        x = unit(clips, "conv_1a", 64, 7, 2)
        x = max_pool(x, (1, 3, 3), (1, 2, 2), "same")
        x = unit(unit(x, "conv_2b", 64, 1), "conv_2c", 192, 3)
        x = max_pool(x, (1, 3, 3), (1, 2, 2), "same")
        for name, widths in MIXED.items():
            if name in _POOLS:
                x = max_pool(x, _POOLS[name], (2, 2, 2), "same")
            if name in self.blocks:
                narrow = tuple(scaled(features, self.width) for features in widths)
                x = block_type(narrow, self.norm, name=f"mixed_{name}")(x, train, weight)
        x = jnp.mean(x.astype(jnp.float32), axis=(2, 3))
        return (x[:, 1:] + x[:, :-1]) / 2 if x.shape[1] > 1 else x
