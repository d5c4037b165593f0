"""Co-occurrences of quantised residuals: 162 figures of an image's noise.

Third-order differences, rounded to −1, 0 and 1, four neighbours at a time, as histograms. After
Fridrich and Kodovský, "Rich models for steganalysis of digital images", TIFS 2012, in the form of
Cozzolino, Gragnaniello and Verdoliva's detector of forged images.
"""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax import lax

THIRD_ORDER = (1.0, -3.0, 3.0, -1.0)
RUN = 4  # neighbours that occur together
FEATURES = 162
LUMA = (299.0, 587.0, 114.0)
"""Thousandths of R, G and B: sums of these times whole pixels are exact in float32."""


def luma_thousandths(pixels: jax.Array) -> jax.Array:
    """Brightness from 0 to 255,000, exact of whole pixels: [..., 3] from 0 to 255 -> [...]."""
    red, green, blue = (pixels[..., c].astype(jnp.float32) * LUMA[c] for c in range(3))
    return red + green + blue


def runs(x: jax.Array, axis: int) -> list[jax.Array]:
    """The first, second, … of all runs of `RUN` neighbours along an axis, which is 3 shorter."""
    count = x.shape[axis] - RUN + 1
    if count < 1:
        raise ValueError(f"{x.shape[axis]} places along axis {axis} hold no run of {RUN}")
    return [lax.slice_in_dim(x, i, i + count, axis=axis) for i in range(RUN)]


Weights = Sequence[float] | jax.Array


def residuals(
    x: jax.Array, across: Weights = THIRD_ORDER, down: Weights = THIRD_ORDER
) -> tuple[jax.Array, jax.Array]:
    """Weighted sums of four pixels, across and down: [B, H, W] -> [B, H, W − 3], [B, H − 3, W].

    Written as sums, not as a convolution: hardware that rounds products would miss the ties.
    """

    def weighted(weights: Weights, axis: int) -> jax.Array:
        return sum(
            (w * part for w, part in zip(weights, runs(x, axis), strict=True)), jnp.zeros(())
        )

    return weighted(across, 2), weighted(down, 1)


def quantized(residual: jax.Array, step: float, limit: int = 1) -> jax.Array:
    """Nearest whole number of steps, halves away from 0, cut at ±`limit`; float32, exact."""
    size = jnp.abs(residual)
    ticks = [(size >= (t + 0.5) * step).astype(jnp.float32) for t in range(limit)]
    return jnp.sign(residual) * sum(ticks, jnp.zeros(()))


def cooccurrences(levels: jax.Array, axis: int, limit: int = 1) -> jax.Array:
    """How often each run of four levels occurs along an axis.

    Args:
      levels: whole numbers from −`limit` to `limit`, [B, H, W].
      axis: 1 for runs down, 2 for runs across.
      limit: T.

    Returns:
      Counts, float32 [B, (2T + 1)⁴]; a run q is counted at Σ_k (q_k + T)·(2T + 1)^k.
    """
    values = 2 * limit + 1
    first, second, third, fourth = runs(levels + limit, axis)

    def one_hot(low: jax.Array, high: jax.Array) -> jax.Array:
        pair = (low + values * high).astype(jnp.int32).reshape(levels.shape[0], -1)
        return jax.nn.one_hot(pair, values**2, dtype=jnp.float32)

    # A product of ones and zeros is a histogram, without a scatter.
    counts = jnp.einsum(
        "bnh,bnl->bhl",
        one_hot(third, fourth),
        one_hot(first, second),
        precision=lax.Precision.HIGHEST,
    )
    return counts.reshape(levels.shape[0], -1)


def third_order_features(x: jax.Array, step: float) -> jax.Array:
    """The 162: 81 of runs along the residual's own direction, then 81 of runs across it.

    Args:
      x: brightness, [B, H, W], 7 pixels a side or more.
      step: of the quantiser, in the unit of x.

    Returns:
      float32 [B, 162], each half of sum 1.
    """
    across, down = (quantized(r, step) for r in residuals(x))
    counts = [
        cooccurrences(across, axis) + cooccurrences(down, 3 - axis)  # along, then across
        for axis in (2, 1)
    ]
    shares = [half / jnp.sum(half, axis=-1, keepdims=True) for half in counts]
    return jnp.concatenate(shares, axis=-1)
