"""Long short-term memory over a sequence, in both directions, with PyTorch's gates."""

from __future__ import annotations

import math

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

from matnet_jax.nn.initializers import Uniform
from matnet_jax.nn.product import matrix_product


class LSTM(nn.Module):
    """What a memory gives at every place of a sequence: [B, T, C] -> [B, T, features], float32.

    i, f, o = σ(·) and g = tanh(·) of x W + h U + b, in the order i, f, g, o; c ← f·c + i·g and
    h = o·tanh(c), both 0 at first. Only products with the sequence are of `dtype`.

    Attributes:
      features: of the memory.
      reverse: from the last place to the first; what it gives stands at its place.
    """

    features: int
    reverse: bool = False
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """See the class."""
        init, gates = Uniform(1 / math.sqrt(self.features)), 4 * self.features
        kernel = self.param("kernel", init, (x.shape[-1], gates))
        recurrent = self.param("recurrent_kernel", init, (self.features, gates))
        bias = self.param("bias", init, (gates,))
        inputs = matrix_product(x.astype(self.dtype), kernel.astype(self.dtype))
        inputs = inputs.astype(jnp.float32) + bias

        def step(
            memory: tuple[jax.Array, jax.Array], of_place: jax.Array
        ) -> tuple[tuple[jax.Array, jax.Array], jax.Array]:
            h, c = memory
            i, f, g, o = jnp.split(of_place + h @ recurrent, 4, axis=-1)
            c = nn.sigmoid(f) * c + nn.sigmoid(i) * jnp.tanh(g)
            h = nn.sigmoid(o) * jnp.tanh(c)
            return (h, c), h

        nothing = jnp.zeros((x.shape[0], self.features), jnp.float32)
        places = inputs.transpose(1, 0, 2)
        _, found = lax.scan(step, (nothing, nothing), places, reverse=self.reverse)
        return found.transpose(1, 0, 2)


class BidirectionalLSTM(nn.Module):
    """One memory each way, side by side: [B, T, C] -> [B, T, 2·features], float32."""

    features: int
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """See the class."""
        forward = LSTM(self.features, dtype=self.dtype, name="forward")(x)
        backward = LSTM(self.features, reverse=True, dtype=self.dtype, name="backward")(x)
        return jnp.concatenate([forward, backward], axis=-1)
