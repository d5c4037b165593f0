"""Fixed filters as a few pairs of matrix products, borders mirrored.

A filter of rank r is r products from the left and r from the right with constant banded matrices:
for the wide kernels here far fewer operations than one a tap, and quick to compile.
"""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

_NEGLIGIBLE = 1e-6  # of the largest singular value: float32 rounding of the kernel


def filter_mirrored(x: jax.Array, kernel: np.ndarray) -> jax.Array:
    """Correlates each channel with a kernel, borders mirrored: [B, H, W, C] -> the same.

    Args:
      x: maps.
      kernel: [k, k], k odd; it may be wider than the map.
    """
    u, s, vt = np.linalg.svd(np.asarray(kernel, np.float64))
    rank = int(np.sum(s > _NEGLIGIBLE * s[0]))
    rows = np.stack([_banded(s[i] * u[:, i], x.shape[1]) for i in range(rank)])
    columns = np.stack([_banded(vt[i], x.shape[2]) for i in range(rank)])
    product = functools.partial(jnp.einsum, precision=lax.Precision.HIGHEST)
    left = product("roh,bhwc->rbowc", jnp.asarray(rows, x.dtype), x)
    return product("rpw,rbowc->bopc", jnp.asarray(columns, x.dtype), left)


def _banded(taps: np.ndarray, size: int) -> np.ndarray:
    """[size, size]: row i has the taps around i, those beyond the border at their mirror image."""
    reach, period = len(taps) // 2, max(2 * (size - 1), 1)
    matrix = np.zeros((size, size))
    for offset, tap in enumerate(taps, start=-reach):
        places = np.abs(np.arange(size) + offset) % period
        np.add.at(matrix, (np.arange(size), np.minimum(places, period - places)), tap)
    return matrix
