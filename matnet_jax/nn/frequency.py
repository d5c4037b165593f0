"""The orthonormal discrete cosine transform, of whole images and of windows, and bands of it.

Everything is float32 at full precision, whatever the network computes in: with a matrix unit's
rounded products the bands would leak into each other.
"""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax


@functools.cache
def dct_matrix(size: int) -> np.ndarray:
    """D of the DCT-II, float64 [size, size]: frequencies by row, D·Dᵀ = 1.

    D[u, x] = a_u · cos(π·u·(x + ½) / size), a_0 = √(1 / size), the other a_u = √(2 / size).
    """
    frequency, place = np.arange(size)[:, None], np.arange(size)[None] + 0.5
    basis = np.cos(np.pi * frequency * place / size) * np.sqrt(2 / size)
    basis[0] = np.sqrt(1 / size)
    return basis


def band(size: int, low: float, high: float) -> np.ndarray:
    """1 at coefficients (u, v) with low ≤ u + v ≤ high, else 0: float32 [size, size].

    Both ends belong to it: bands that meet at a whole number share its diagonal.
    """
    total = np.add.outer(np.arange(size), np.arange(size))
    return ((total >= low) & (total <= high)).astype(np.float32)


def dct2(images: jax.Array) -> jax.Array:
    """D·x·Dᵀ of each channel: [B, S, S, C] -> [B, S, S, C] float32."""
    return _both_sides(dct_matrix(images.shape[1]), images)


def inverse_dct2(coefficients: jax.Array) -> jax.Array:
    """Dᵀ·X·D of each channel, what `dct2` undoes: [B, S, S, C] -> [B, S, S, C] float32."""
    return _both_sides(dct_matrix(coefficients.shape[1]).T, coefficients)


def _both_sides(matrix: np.ndarray, x: jax.Array) -> jax.Array:
    """matrix·x·matrixᵀ."""
    m = jnp.asarray(matrix, jnp.float32)
    product = functools.partial(jnp.einsum, precision=lax.Precision.HIGHEST)
    return product("uh,bhvc->buvc", m, product("vw,bhwc->bhvc", m, x.astype(jnp.float32)))


def windowed_dct(images: jax.Array, window: int, stride: int, padding: int) -> jax.Array:
    """The DCT of every window of an image of one channel, zeros around it.

    Args:
      images: [B, H, W].
      window: side of a window, in pixels.
      stride: from one window to the next, in pixels.
      padding: zeros on each side, in pixels.

    Returns:
      [B, h, w, window²] float32 coefficients, those of (u, v) at u·window + v.
    """
    basis = dct_matrix(window)
    # One filter a coefficient: D[u, y]·D[v, x] at place (y, x).
    filters = np.einsum("uy,vx->yxuv", basis, basis).reshape(window, window, 1, -1)
    return lax.conv_general_dilated(
        images.astype(jnp.float32)[..., None],
        jnp.asarray(filters, jnp.float32),
        (stride, stride),
        [(padding, padding)] * 2,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        precision=lax.Precision.HIGHEST,
    )
