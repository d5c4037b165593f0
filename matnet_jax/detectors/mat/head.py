"""The classifier over region and global features, shared by both recipes."""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp

from matnet_jax.nn.layers import Dense


class EnsembleHead(nn.Module):
    """P [B, M, C_F] and G [B, C] -> logits [B, num_classes], float32.

    The paper does not detail its classifier; this is the released one.
    """

    num_classes: int
    mid_dims: int
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, texture_matrix: jax.Array, global_feature: jax.Array) -> jax.Array:
        """See the class."""

        def dense(x: jax.Array, name: str) -> jax.Array:
            return nn.hard_swish(Dense(self.mid_dims, self.dtype, name=name)(x))

        flat = texture_matrix.reshape(texture_matrix.shape[0], -1)
        local = dense(dense(flat, "local_1"), "local_2")
        both = jnp.concatenate([local, dense(global_feature, "global")], axis=-1)
        logits = Dense(self.num_classes, self.dtype, name="logits")(dense(both, "ensemble"))
        return logits.astype(jnp.float32)
