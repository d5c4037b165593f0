"""Losses and sums that every family shares, per example: callers weigh and average.

Labels are 0 for real and 1 for fake. Every function computes in float32.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import optax


def cross_entropy(
    logits: jax.Array, labels: jax.Array, *, label_smoothing: float = 0.0
) -> jax.Array:
    """−Σ_c q_c log softmax(logits)_c, q the smoothed one-hot label: [B, C], [B] -> [B] nats."""
    target = optax.smooth_labels(jax.nn.one_hot(labels, logits.shape[-1]), label_smoothing)
    return optax.softmax_cross_entropy(logits.astype(jnp.float32), target)


def correct(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """1 where the largest logit is the label's, else 0: [B, C], [B] -> [B] float32."""
    return (jnp.argmax(logits, axis=-1) == labels).astype(jnp.float32)


def weighted_mean(per_example: jax.Array, weight: jax.Array) -> jax.Array:
    """Mean of [B] by weights [B]; 0 where no example counts."""
    return jnp.sum(per_example * weight) / jnp.maximum(jnp.sum(weight), 1.0)


def hinge(margins: jax.Array, labels: jax.Array) -> jax.Array:
    """A support vector machine's: max(0, 1 − y·m), y −1 for real and 1 for fake, of any shape."""
    signs = 2.0 * labels.astype(jnp.float32) - 1.0
    return jnp.maximum(0.0, 1.0 - signs * margins.astype(jnp.float32))


def triplet(
    anchor: jax.Array, positive: jax.Array, negative: jax.Array, margin: float
) -> jax.Array:
    """max(0, ‖a − p‖² − ‖a − n‖² + margin) over the last axis: three of [..., E] -> [...]."""
    a, p, n = (x.astype(jnp.float32) for x in (anchor, positive, negative))
    near, far = (jnp.sum(jnp.square(a - x), axis=-1) for x in (p, n))
    return jnp.maximum(0.0, near - far + margin)
