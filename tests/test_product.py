"""The product of the last axis with a matrix: values, tangents, gradients, and how they sum."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.extend.core import jaxprs_in_params

from matnet_jax.nn.product import matrix_product

SHAPES = [(5,), (3, 5), (2, 3, 5), (2, 4, 3, 5)]


def arrays(*shapes: Any) -> Any:
    rng = np.random.default_rng(0)
    return [jnp.asarray(rng.standard_normal(shape), jnp.float32) for shape in shapes]


@pytest.mark.parametrize("shape", SHAPES)
def test_it_is_the_product_and_so_are_its_derivatives(shape: Any) -> None:
    x, matrix, of_x, of_matrix = arrays(shape, (5, 7), shape, (5, 7))
    [ct] = arrays((*shape[:-1], 7))
    tangents = (of_x, of_matrix)
    both = [
        (*jax.jvp(product, (x, matrix), tangents), *jax.vjp(product, x, matrix)[1](ct))
        for product in (matrix_product, jnp.matmul)
    ]
    for ours, plain in zip(*both, strict=True):
        assert ours.shape == plain.shape
        np.testing.assert_allclose(ours, plain, rtol=1e-5, atol=1e-5)


def contracted(function: Any, *args: Any) -> list[int]:
    """Over how many axes each product of matrices sums."""
    found: list[int] = []

    def look(jaxpr: Any) -> None:
        for eqn in jaxpr.eqns:
            if eqn.primitive.name == "dot_general":
                found.append(len(eqn.params["dimension_numbers"][0][0]))
            for inner in jaxprs_in_params(eqn.params):
                look(inner)

    look(jax.make_jaxpr(function)(*args).jaxpr)
    return found


@pytest.mark.parametrize("shape", SHAPES[2:])
def test_gradients_sum_over_one_axis(shape: Any) -> None:
    def gradients(product: Any) -> Any:
        return jax.grad(lambda x, matrix: jnp.sum(jnp.tanh(product(x, matrix))), (0, 1))

    x, matrix = arrays(shape, (5, 7))
    assert contracted(gradients(matrix_product), x, matrix) == [1, 1, 1]
    assert max(contracted(gradients(jnp.matmul), x, matrix)) == len(shape) - 1


@pytest.mark.parametrize("argument", [0, 1])
def test_what_is_not_differentiated_costs_no_product(argument: int) -> None:
    def loss(x: Any, matrix: Any) -> Any:
        return jnp.sum(jnp.tanh(matrix_product(x, matrix)))

    x, matrix = arrays((2, 3, 5), (5, 7))
    assert contracted(jax.grad(loss, argument), x, matrix) == [1, 1]
    np.testing.assert_allclose(
        jax.grad(loss, argument)(x, matrix),
        jax.grad(lambda *args: jnp.sum(jnp.tanh(jnp.matmul(*args))), argument)(x, matrix),
        rtol=1e-5,
        atol=1e-5,
    )
