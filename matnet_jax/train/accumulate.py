"""A batch's gradient from its parts, one after the other: memory of a part, result of the whole."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

Result = tuple[Any, Any, dict[str, jax.Array]]
Gradient = Callable[[Any, Any, dict[str, jax.Array], jax.Array, Any], Result]


def accumulated(gradient: Gradient, parts: int) -> Gradient:
    """`gradient` over equal parts of a batch, averaged.

    Every part starts from the same collections, and their new values are averaged too. What is
    linear in the batch's mean is then that of the whole batch: gradients of mean losses, feature
    centers (eq. 4), running means. Not so: batch norm normalises each part by the part's own
    statistics, and running variances lack the variance between parts.

    Args:
      gradient: (params, collections, batch, key, step) -> (grads, collections, metrics).
      parts: 1 leaves it as it is. The batch's leading axis is a multiple; part j has the rows j,
        j + parts, …, so that a batch split over devices stays where it is.
    """
    if parts == 1:
        return gradient

    def run(
        params: Any, collections: Any, batch: dict[str, jax.Array], key: jax.Array, step: Any
    ) -> Result:
        def compute(part: dict[str, jax.Array], number: jax.Array) -> Result:
            return gradient(params, collections, part, jax.random.fold_in(key, number), step)

        split = jax.tree.map(
            lambda x: jnp.moveaxis(x.reshape(-1, parts, *x.shape[1:]), 1, 0), batch
        )

        def add(total: Result, item: tuple[dict[str, jax.Array], jax.Array]) -> tuple[Result, None]:
            return jax.tree.map(jnp.add, total, compute(*item)), None

        zero = jax.tree.map(
            lambda x: jnp.zeros(x.shape, x.dtype),
            jax.eval_shape(compute, jax.tree.map(lambda x: x[0], split), jnp.zeros((), jnp.int32)),
        )
        total, _ = jax.lax.scan(add, zero, (split, jnp.arange(parts)))
        return jax.tree.map(lambda x: x / parts, total)

    return run
