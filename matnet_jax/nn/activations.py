"""Activations whose gradients read less memory than those that JAX derives."""

from __future__ import annotations

import jax
import jax.numpy as jnp


@jax.custom_jvp
def _swish(x: jax.Array) -> jax.Array:
    return x * jax.nn.sigmoid(x)


@_swish.defjvp
def _tangent(primals: tuple[jax.Array], tangents: tuple[jax.Array]) -> tuple[jax.Array, jax.Array]:
    """Computes the sigmoid again, by tanh.

    The compiler would recognise the same formula, and in the forward pass write an array of
    sigmoids for the backward pass to read: that takes longer than computing them twice.
    """
    (x,), (of_x,) = primals, tangents
    gate = 0.5 * (1 + jnp.tanh(0.5 * x))
    return _swish(x), of_x * (gate * (1 + x * (1 - gate)))


@jax.jit  # traced once a shape, as is its gradient
def swish(x: jax.Array) -> jax.Array:
    """Element by element x · sigmoid(x)."""
    return _swish(x)
