"""Feature centers of the regional independence loss: the pure update of eq. 4 of the paper."""

from __future__ import annotations

import jax
import jax.numpy as jnp


def update_centers(
    centers: jax.Array,
    region_features: jax.Array,
    labels: jax.Array,
    rate: jax.Array | float,
    *,
    real_only: bool = False,
    weight: jax.Array | None = None,
) -> jax.Array:
    """c^t = c^{t−1} − α·(c^{t−1} − mean_i V^i), differentiable with respect to V.

    Args:
      centers: c^{t−1}, [M, N] float32.
      region_features: V, [B, M, N].
      labels: [B], 0 real, 1 fake; read only with `real_only`.
      rate: α.
      real_only: only real samples pull, as in the released code: α·mean_i 1[y_i = 0]·(V^i − c).
        A batch without one leaves the centers where they are.
      weight: [B], of each sample in the mean; 0 leaves it out, whatever it holds. Where all are 0
        the centers stay.

    Returns:
      c^t, [M, N] float32, with its gradient: the caller stores its value.
    """
    pulls = region_features.astype(jnp.float32) - centers
    if real_only:
        pulls = pulls * (labels == 0).astype(jnp.float32)[:, None, None]
    if weight is None:
        return centers + rate * jnp.mean(pulls, axis=0)
    weight = weight.astype(jnp.float32)[:, None, None]
    total = jnp.sum(weight)
    pulls = weight * jnp.where(weight > 0, pulls, 0.0)
    return centers + rate * jnp.sum(pulls, axis=0) / jnp.where(total > 0, total, 1.0)
