"""Backbones of clips by name: clips [B, T, H, W, 3] -> float32 [B, t, C], features by time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from matnet_jax.backbones.base import scaled
from matnet_jax.backbones.clips.i3d import I3D, MIXED
from matnet_jax.backbones.clips.resnet3d import Kind, ResNet3D
from matnet_jax.backbones.clips.slowfast import SlowFast
from matnet_jax.nn.batch_norm import Norm


def _slowfast(width: float, depth: float, dtype: jnp.dtype, remat: bool) -> nn.Module:
    depths = tuple(scaled(n, depth) for n in (3, 4, 6, 3))
    return SlowFast(depths, scaled(64, width), norm=Norm(dtype=dtype), remat=remat, parent=None)


def _i3d(width: float, depth: float, dtype: jnp.dtype, remat: bool) -> nn.Module:
    # The last block of each size is there whatever the depth.
    kept = scaled(len(MIXED), depth)
    blocks = tuple(name for i, name in enumerate(MIXED) if i < kept or name in ("3c", "4f", "5c"))
    return I3D(width, blocks, Norm(0.99, 1e-3, dtype), remat, parent=None)


def _resnet(
    depths: tuple[int, ...], kinds: tuple[Kind, ...], stem: Any, **fields: Any
) -> Callable[..., nn.Module]:
    def make(width: float, depth: float, dtype: jnp.dtype, remat: bool) -> nn.Module:
        return ResNet3D(
            tuple(scaled(n, depth) for n in depths),
            kinds,
            stem,
            width=scaled(64, width),
            stem_between=scaled(45, width),
            norm=Norm(dtype=dtype),
            remat=remat,
            parent=None,
            **fields,
        )

    return make


CLIP_BACKBONES: dict[str, Callable[..., nn.Module]] = {
    "slowfast-50": _slowfast,
    "i3d": _i3d,
    "resnet3d-34": _resnet((3, 4, 6, 3), ("full",) * 4, 7, stem_pool=True, plain_skip=True),
    "mc3-18": _resnet((2,) * 4, ("full", "frame", "frame", "frame"), 3),
    "r2plus1d-18": _resnet((2,) * 4, ("factored",) * 4, "factored"),
}
"""(width, depth, dtype, remat) -> module; width and depth are factors."""
