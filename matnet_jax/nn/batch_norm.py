"""Batch normalisation: of the whole batch, of groups of it, of weighted examples."""

from __future__ import annotations

import functools
import math
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

from matnet_jax.nn.initializers import ONES, ZEROS, Init


class Norm(NamedTuple):
    """Fields of every batch norm of a network, in the order of `BatchNorm`'s."""

    momentum: float = 0.9
    epsilon: float = 1e-5
    dtype: jnp.dtype = jnp.float32
    group_size: int | None = None


class BatchNorm(nn.Module):
    """Batch normalisation over all axes but the last; statistics are float32.

    Running statistics are momentum·old + (1 − momentum)·batch, with the unbiased batch variance as
    in PyTorch and TensorFlow (Flax's own module takes the biased one). Under `jit` with a sharded
    batch the means are over the global batch, which devices have to exchange in every layer;
    groups that lie within a device need not.

    Attributes:
      group_size: images, one after another in the batch, that are normalised by their own
        statistics; None for the whole batch. Running statistics take the mean over groups.

    Called with `weight` [B], examples of weight 0 have no part in the statistics, whatever they
    hold. A batch, or group, in which all weights are 0 has none of its own: it is normalised by the
    running statistics and leaves them as they are.

    Raises:
      ValueError: in training, the batch is not a multiple of `group_size`.
    """

    momentum: float = 0.9
    epsilon: float = 1e-5
    dtype: jnp.dtype = jnp.float32
    group_size: int | None = None
    scale_init: Init = ONES
    bias_init: Init = ZEROS

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool, weight: jax.Array | None = None) -> jax.Array:
        """See the class."""
        shape = (x.shape[-1],)
        mean_ra = self.variable("batch_stats", "mean", ZEROS, None, shape)
        var_ra = self.variable("batch_stats", "var", ONES, None, shape)
        scale = self.param("scale", self.scale_init, shape)
        bias = self.param("bias", self.bias_init, shape)
        if train and self.group_size and x.shape[0] % self.group_size:
            raise ValueError(
                f"bn_group_size = {self.group_size} does not divide the batch of {x.shape[0]} "
                "images; take a divisor of the images a step computes at once (batch_size / "
                "accumulate)"
            )
        running = mean_ra.value, var_ra.value
        if not train:
            return _normalized(x, running, scale, bias, self.epsilon, self.dtype)
        y, moved = _train_batch_norm(
            x,
            None if weight is None else weight.astype(jnp.float32),
            running,
            scale,
            bias,
            momentum=self.momentum,
            epsilon=self.epsilon,
            dtype=jnp.dtype(self.dtype),
            group_size=self.group_size,
        )
        if not self.is_initializing():
            mean_ra.value, var_ra.value = moved
        return y


Pair = tuple[jax.Array, jax.Array]  # mean and variance


# Jitted, so that layers of a shape are traced once, and their gradients too.
@functools.partial(jax.jit, static_argnames=("momentum", "epsilon", "dtype", "group_size"))
def _train_batch_norm(
    x: jax.Array,
    weight: jax.Array | None,
    running: Pair,
    scale: jax.Array,
    bias: jax.Array,
    *,
    momentum: float,
    epsilon: float,
    dtype: jnp.dtype,
    group_size: int | None,
) -> tuple[jax.Array, Pair]:
    """The batch normalised by its own statistics, and where these move the running ones."""

    def grouped(y: jax.Array) -> jax.Array:  # [groups, group_size, …, C]
        return y.reshape(-1, group_size or len(y), *y.shape[1:])

    def move(old: jax.Array, new: jax.Array) -> jax.Array:
        return momentum * old + (1 - momentum) * new

    wide, (mean_ra, var_ra) = x.astype(jnp.float32), running
    if weight is None:
        if group_size is not None:
            wide = grouped(wide)
        axes = tuple(range(wide.ndim - x.ndim, wide.ndim - 1))
        mean = jnp.mean(wide, axes, keepdims=True)
        var = jnp.maximum(jnp.mean(jnp.square(wide), axes, keepdims=True) - jnp.square(mean), 0.0)
        count = math.prod(wide.shape[axis] for axis in axes)
        unbiased = var * (count / max(count - 1, 1))
        of_groups = [lax.stop_gradient(s).reshape(-1, *mean_ra.shape) for s in (mean, unbiased)]
        moved = move(mean_ra, jnp.mean(of_groups[0], 0)), move(var_ra, jnp.mean(of_groups[1], 0))
    else:
        wide = grouped(wide)
        batch = _weighted_statistics(wide, grouped(weight))
        groups = jnp.sum(batch.is_there)

        def move_if_there(old: jax.Array, new: jax.Array) -> jax.Array:
            there = jnp.where(batch.is_there, lax.stop_gradient(new), 0.0)
            mean = there.reshape(-1, *old.shape).sum(0) / jnp.maximum(groups, 1)
            return jnp.where(groups > 0, move(old, mean), old)

        mean = jnp.where(batch.is_there, batch.mean, mean_ra)
        var = jnp.where(batch.is_there, batch.var, var_ra)
        moved = move_if_there(mean_ra, batch.mean), move_if_there(var_ra, batch.unbiased)
    y = _normalized(wide, (mean, var), scale, bias, epsilon, dtype)
    return y.reshape(x.shape), moved


def _normalized(
    x: jax.Array,
    statistics: Pair,
    scale: jax.Array,
    bias: jax.Array,
    epsilon: float,
    dtype: jnp.dtype,
) -> jax.Array:
    mean, var = statistics
    gain = scale * lax.rsqrt(var + epsilon)
    return (x.astype(jnp.float32) * gain + (bias - mean * gain)).astype(dtype)


class _Statistics(NamedTuple):
    """Of each group, [groups, 1, …, C]; `is_there` is False where all weights are 0."""

    mean: jax.Array
    var: jax.Array
    unbiased: jax.Array
    is_there: jax.Array


def _weighted_statistics(x: jax.Array, weight: jax.Array) -> _Statistics:
    """Statistics of x [groups, n, …, C] over its examples, weighted by [groups, n]."""
    weight = weight.reshape(weight.shape + (1,) * (x.ndim - 2))
    x = jnp.where(weight > 0, x, 0.0)  # 0 times an infinity left out would be NaN
    axes, area = tuple(range(1, x.ndim - 1)), math.prod(x.shape[2:-1])
    count = area * jnp.sum(weight, axes, keepdims=True)
    total = jnp.where(count > 0, count, 1.0)
    mean = jnp.sum(weight * x, axes, keepdims=True) / total
    squares = jnp.sum(weight * jnp.square(x), axes, keepdims=True) / total
    var = jnp.maximum(squares - jnp.square(mean), 0.0)
    return _Statistics(mean, var, var * (count / jnp.maximum(count - 1, 1)), count > 0)
