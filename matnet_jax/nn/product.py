"""Product of the last axis with a matrix, whose gradient XLA's CPU compiler computes in place."""

from __future__ import annotations

import functools
import operator

import jax
import jax.numpy as jnp
from jax.custom_derivatives import SymbolicZero


@jax.jit  # traced once for layers of a shape, as are its gradients
def matrix_product(x: jax.Array, matrix: jax.Array) -> jax.Array:
    """[..., C_in] by [C_in, C_out] -> [..., C_out]."""
    return _product(x, matrix)


@jax.custom_jvp
def _product(x: jax.Array, matrix: jax.Array) -> jax.Array:
    return x @ matrix


@functools.partial(_product.defjvp, symbolic_zeros=True)
def _tangent(
    primals: tuple[jax.Array, jax.Array],
    tangents: tuple[jax.Array | SymbolicZero, jax.Array | SymbolicZero],
) -> tuple[jax.Array, jax.Array]:
    """The same product in tangents; that of the matrix is of rows [N, C_in].

    Its transpose, the gradient, sums over what is left of the channels: over one axis the compiler
    reads both sides as they lie, over several it first writes a transposed copy of the larger one.
    """
    (x, matrix), (of_x, of_matrix) = primals, tangents
    y = _product(x, matrix)
    parts = []  # what is not differentiated, images or frozen weights, costs nothing
    if not isinstance(of_x, SymbolicZero):
        parts.append(_product(of_x, matrix))
    if not isinstance(of_matrix, SymbolicZero):
        parts.append((x.reshape(-1, x.shape[-1]) @ of_matrix).reshape(y.shape))
    return y, functools.reduce(operator.add, parts) if parts else jnp.zeros_like(y)
