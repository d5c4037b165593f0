"""A batch's gradient from its parts, one after the other: memory of a part, result of the whole."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

Result = tuple[Any, Any, dict[str, jax.Array]]
Gradient = Callable[[Any, Any, dict[str, jax.Array], jax.Array, Any], Result]


def accumulated(gradient: Gradient, parts: int, group: int = 1) -> Gradient:
    """`gradient` over equal parts of a batch, averaged.

    Every part starts from the same collections, and their new values are averaged too. What is
    linear in the batch's mean is then that of the whole batch: gradients of mean losses, feature
    centers (eq. 4), running means. Not so: batch norm normalises each part by the part's own
    statistics, and running variances lack the variance between parts.

    Args:
      gradient: (params, collections, batch, key, step) -> (grads, collections, metrics).
      parts: 1 leaves it as it is. The batch's leading axis is a multiple; part j has the groups j,
        j + parts, …, so that a batch split over devices stays where it is.
      group: rows that stay together, such as the 2 of a pair.
    """
    if parts == 1:
        return gradient

    def run(
        params: Any, collections: Any, batch: dict[str, jax.Array], key: jax.Array, step: Any
    ) -> Result:
        def compute(part: dict[str, jax.Array], number: jax.Array) -> Result:
            return gradient(params, collections, part, jax.random.fold_in(key, number), step)

        def divide(x: jax.Array) -> jax.Array:
            grouped = x.reshape(-1, parts, group, *x.shape[1:])
            return jnp.moveaxis(grouped, 1, 0).reshape(parts, -1, *x.shape[1:])

        split = jax.tree.map(divide, batch)

        def add(total: Result, item: tuple[dict[str, jax.Array], jax.Array]) -> tuple[Result, None]:
            return jax.tree.map(jnp.add, total, compute(*item)), None

        zero = jax.tree.map(
            lambda x: jnp.zeros(x.shape, x.dtype),
            jax.eval_shape(compute, jax.tree.map(lambda x: x[0], split), jnp.zeros((), jnp.int32)),
        )
        total, _ = jax.lax.scan(add, zero, (split, jnp.arange(parts)))
        return jax.tree.map(lambda x: x / parts, total)

    return run
