"""Dense layers of which a few singular triplets are parameters of their own, beside the rest.

A kernel W = U·S·Vᵀ keeps its largest singular values in one matrix, which can stay as it was
trained, while the triplets (u, s, v) of the smallest ones train (Effort: Yan et al., ICML 2025,
arXiv:2411.15633).
"""

from __future__ import annotations

from collections.abc import Mapping

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from matnet_jax.nn.initializers import DENSE, ZEROS, Normal
from matnet_jax.nn.layers import Init

LEFT, VALUES, RIGHT = "residual_left", "residual_values", "residual_right"
"""Leaves u [in, rank], s [rank] and v [rank, features] beside a kernel [in, features]."""


class SingularDense(nn.Module):
    """x·(W + u·diag(s)·v) plus a bias: [..., C_in] -> [..., features].

    At random, W has all and s is 0; `split` makes them of a kernel.

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
        # Rows of about length 1, as singular vectors are.
        across, along = Normal(inputs**-0.5), Normal(self.features**-0.5)
        kernel = self.param("kernel", self.kernel_init, (inputs, self.features))
        bias = self.param("bias", self.bias_init, (self.features,))
        left = self.param(LEFT, across, (inputs, self.rank))
        values = self.param(VALUES, ZEROS, (self.rank,))
        right = self.param(RIGHT, along, (self.rank, self.features))
        x = x.astype(self.dtype)
        # Products of their own: the gradient of the triplets then needs none of W's size.
        beside = (x @ left.astype(self.dtype)) * values.astype(self.dtype)
        y = x @ kernel.astype(self.dtype) + beside @ right.astype(self.dtype)
        return y + bias.astype(self.dtype)


def split(kernel: np.ndarray, rank: int) -> dict[str, np.ndarray]:
    """A kernel [in, out] as leaves of `SingularDense`: the `rank` smallest triplets apart.

    Raises:
      ValueError: the kernel has not so many.
    """
    if not 0 < rank <= min(kernel.shape):
        raise ValueError(
            f"a kernel of {list(kernel.shape)} has {min(kernel.shape)} singular values; "
            f"rank = {rank} of them cannot be split off"
        )
    u, s, v = np.linalg.svd(np.asarray(kernel, np.float64), full_matrices=False)
    left, values, right = u[:, -rank:], s[-rank:], v[-rank:]
    parts = {"kernel": kernel - (left * values) @ right, LEFT: left, VALUES: values, RIGHT: right}
    return {name: part.astype(np.float32) for name, part in parts.items()}


def merge(leaves: Mapping[str, np.ndarray]) -> np.ndarray:
    """The kernel [in, out] that leaves of `SingularDense` stand for."""
    left, values, right = (np.asarray(leaves[name], np.float64) for name in (LEFT, VALUES, RIGHT))
    return (np.asarray(leaves["kernel"]) + (left * values) @ right).astype(np.float32)
