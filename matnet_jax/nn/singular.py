"""Dense layers of which a few singular triplets are parameters of their own, beside the rest.

A kernel W = U·S·Vᵀ stays as it was given, while copies (u, s, v) of the triplets of its smallest
singular values train in place of those that it has (Effort: Yan et al., ICML 2025,
arXiv:2411.15633).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from matnet_jax.nn.initializers import DENSE, ZEROS, Init, Normal
from matnet_jax.nn.product import matrix_product

RESIDUAL = ("residual_left", "residual_values", "residual_right")
"""Leaves u [in, rank], s [rank], v [rank, features] beside a kernel [in, features], which train."""
GIVEN = ("given_left", "given_values", "given_right")
"""The triplets that the kernel came with, of the same shapes; they stay as it does."""


class SingularDense(nn.Module):
    """x·(W − u₀·diag(s₀)·v₀ + u·diag(s)·v) plus a bias: [..., C_in] -> [..., features].

    W itself stays what a file has, to the bit, and so needs no place in a checkpoint. At random, s
    and s₀ are 0; `triplets` gives them of a kernel.

    Attributes:
      features: C_out.
      rank: triplets.
      dtype: of computation.
    """

    features: int
    rank: int
    dtype: jnp.dtype = jnp.float32
    kernel_init: Init = DENSE
    bias_init: Init = ZEROS

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """See the class."""
        inputs = x.shape[-1]
        kernel = self.param("kernel", self.kernel_init, (inputs, self.features))
        bias = self.param("bias", self.bias_init, (self.features,))
        left, values, right = self._triplets(RESIDUAL, inputs)
        given_left, given_values, given_right = self._triplets(GIVEN, inputs)
        left = jnp.concatenate([left, given_left], axis=1).astype(self.dtype)
        values = jnp.concatenate([values, -given_values]).astype(self.dtype)
        right = jnp.concatenate([right, given_right]).astype(self.dtype)
        x = x.astype(self.dtype)
        # Products of their own: the gradient of the triplets then needs none of W's size.
        y = x @ kernel.astype(self.dtype) + matrix_product(matrix_product(x, left) * values, right)
        return y + bias.astype(self.dtype)

    def _triplets(self, names: tuple[str, str, str], inputs: int) -> list[jax.Array]:
        # Rows of about length 1, as singular vectors are.
        left = self.param(names[0], Normal(inputs**-0.5), (inputs, self.rank))
        values = self.param(names[1], ZEROS, (self.rank,))
        right = self.param(names[2], Normal(self.features**-0.5), (self.rank, self.features))
        return [left, values, right]


def triplets(kernel: np.ndarray, rank: int) -> dict[str, np.ndarray]:
    """The leaves of `SingularDense` beside a kernel [in, out]: its `rank` smallest triplets, twice.

    Raises:
      ValueError: the kernel has not so many.
    """
    if not 0 < rank <= min(kernel.shape):
        raise ValueError(
            f"a kernel of {list(kernel.shape)} has {min(kernel.shape)} singular values; "
            f"rank = {rank} of them cannot be trained apart"
        )
    u, s, v = np.linalg.svd(np.asarray(kernel, np.float64), full_matrices=False)
    smallest = [part.astype(np.float32) for part in (u[:, -rank:], s[-rank:], v[-rank:])]
    return dict(zip((*RESIDUAL, *GIVEN), smallest * 2, strict=True))


def merge(leaves: Mapping[str, np.ndarray]) -> np.ndarray:
    """The kernel [in, out] that leaves of `SingularDense` stand for."""
    now, given = (_product([leaves[name] for name in names]) for names in (RESIDUAL, GIVEN))
    return (np.asarray(leaves["kernel"], np.float64) + now - given).astype(np.float32)


def _product(parts: Sequence[np.ndarray]) -> np.ndarray:
    left, values, right = (np.asarray(part, np.float64) for part in parts)
    return (left * values) @ right
