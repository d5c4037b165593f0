"""L2 norms whose gradient at zero is zero, as in PyTorch; JAX's own gives NaN there."""

from __future__ import annotations

import jax
import jax.numpy as jnp


def l2_norm(x: jax.Array, axis: int | tuple[int, ...] = -1, keepdims: bool = False) -> jax.Array:
    """Euclidean norm over `axis`, in float32 or wider; its gradient at 0 is 0."""
    x = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    squares = jnp.sum(jnp.square(x), axis=axis, keepdims=keepdims)
    positive = squares > 0
    # The inner `where` keeps sqrt'(0) = inf out of the untaken branch, where 0 · inf would be NaN.
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, squares, 1.0)), 0.0)


def l2_normalize(x: jax.Array, axis: int = -1, epsilon: float = 1e-12) -> jax.Array:
    """X / max(‖x‖₂, epsilon) over `axis` (eq. 2 of the paper); zeros stay zeros."""
    norm = l2_norm(x, axis=axis, keepdims=True)
    return (x / jnp.maximum(norm, epsilon)).astype(x.dtype)
