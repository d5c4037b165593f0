"""Resizing of [B, H, W, C] maps as two small matrix products, with PyTorch's sampling rules.

`jax.image.resize` antialiases; the networks are defined without, with aligned corners, bins of
adaptive average pooling and floor-nearest, and some with half-pixel centres. The weights are
constants, so XLA sees plain products, whose gradients are products too (no gather, no scatter).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

Size = tuple[int, ...]  # (height, width), such as x.shape[1:3]


@functools.cache
def bilinear_weights(source: int, target: int) -> np.ndarray:
    """[target, source] linear interpolation where first and last samples coincide."""
    weights = np.zeros((target, source))
    # One output sample has no second corner to align: it takes the first source sample.
    positions = np.arange(target) * ((source - 1) / (target - 1) if target > 1 else 0.0)
    low = np.minimum(positions.astype(int), source - 1)
    high = np.minimum(low + 1, source - 1)
    fraction = positions - low
    np.add.at(weights, (np.arange(target), low), 1 - fraction)
    np.add.at(weights, (np.arange(target), high), fraction)
    return weights


@functools.cache
def centred_weights(source: int, target: int) -> np.ndarray:
    """[target, source] linear interpolation between centres of pixels, borders continued."""
    weights = np.zeros((target, source))
    positions = np.clip((np.arange(target) + 0.5) * source / target - 0.5, 0, source - 1)
    low = positions.astype(int)
    high = np.minimum(low + 1, source - 1)
    np.add.at(weights, (np.arange(target), low), 1 - (positions - low))
    np.add.at(weights, (np.arange(target), high), positions - low)
    return weights


@functools.cache
def bicubic_weights(source: int, target: int, antialias: bool = False) -> np.ndarray:
    """[target, source] cubic convolution between centres of pixels, as PyTorch has it.

    Keys's kernel (1981) with a = −0.75, borders continued; or, with antialiasing, a = −0.5, the
    kernel as wide as what it shrinks by, and cut at the borders.
    """
    scale = source / target
    stretch = max(scale, 1.0) if antialias else 1.0
    a = -0.5 if antialias else -0.75
    weights = np.zeros((target, source))
    reach = math.ceil(2 * stretch)
    for i in range(target):
        centre = (i + 0.5) * scale - 0.5
        taps = math.floor(centre) + np.arange(1 - reach, reach + 1)
        values = _cubic((taps - centre) / stretch, a)
        if antialias:
            values = np.where((taps >= 0) & (taps < source), values, 0.0)
        np.add.at(weights[i], np.clip(taps, 0, source - 1), values / values.sum())
    return weights


def _cubic(x: np.ndarray, a: float) -> np.ndarray:
    x = np.abs(x)
    near = (a + 2) * x**3 - (a + 3) * x**2 + 1
    far = a * (x**3 - 5 * x**2 + 8 * x - 4)
    return np.where(x <= 1, near, np.where(x < 2, far, 0.0))


@functools.cache
def average_weights(source: int, target: int) -> np.ndarray:
    """[target, source] adaptive average: bin i covers floor(i·s/t) to ceil((i+1)·s/t)."""
    weights = np.zeros((target, source))
    for i in range(target):
        first, last = i * source // target, -(-(i + 1) * source // target)
        weights[i, first:last] = 1 / (last - first)
    return weights


@functools.cache
def nearest_weights(source: int, target: int) -> np.ndarray:
    """[target, source] where output i takes source floor(i·s/t)."""
    weights = np.zeros((target, source))
    weights[np.arange(target), np.arange(target) * source // target] = 1
    return weights


def _separable(x: jax.Array, size: Size, weights_of: Callable[[int, int], np.ndarray]) -> jax.Array:
    if x.shape[1:3] == tuple(size):
        return x
    rows = jnp.asarray(weights_of(x.shape[1], size[0]), x.dtype)
    cols = jnp.asarray(weights_of(x.shape[2], size[1]), x.dtype)
    # Full precision: on TPU the default would round interpolation weights to bfloat16.
    product = functools.partial(jnp.einsum, precision=lax.Precision.HIGHEST)
    return product("oh,bhwc->bowc", rows, product("ow,bhwc->bhoc", cols, x))


def resize_bilinear(x: jax.Array, size: Size) -> jax.Array:
    """Bilinear, aligned corners, no antialiasing: [B, H, W, C] -> [B, *size, C]."""
    return _separable(x, size, bilinear_weights)


def resize_centred(x: jax.Array, size: Size) -> jax.Array:
    """Bilinear, pixels as squares, no antialiasing: [B, H, W, C] -> [B, *size, C].

    PyTorch's default, which it calls align_corners=False.
    """
    return _separable(x, size, centred_weights)


def resize_bicubic(x: jax.Array, size: Size, *, antialias: bool = False) -> jax.Array:
    """Bicubic, pixels as squares: [B, H, W, C] -> [B, *size, C]."""
    return _separable(x, size, functools.partial(bicubic_weights, antialias=antialias))


def adaptive_average_pool(x: jax.Array, size: Size) -> jax.Array:
    """PyTorch's adaptive average pooling: [B, H, W, C] -> [B, *size, C]."""
    return _separable(x, size, average_weights)


def resize_nearest(x: jax.Array, size: Size) -> jax.Array:
    """PyTorch's nearest neighbour: [B, H, W, C] -> [B, *size, C]."""
    return _separable(x, size, nearest_weights)
