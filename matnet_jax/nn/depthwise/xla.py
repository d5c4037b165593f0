"""XLA's grouped convolution: the reference of every other form."""

from __future__ import annotations

import functools

import jax
from jax import lax

Padding = tuple[tuple[int, int], tuple[int, int]]


def forward(x: jax.Array, kernel: jax.Array, *, stride: int, padding: Padding) -> jax.Array:
    """See `depthwise_conv`."""
    return lax.conv_general_dilated(
        x,
        kernel[:, :, None, :],
        window_strides=(stride, stride),
        padding=padding,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=x.shape[-1],
    )


def backward(
    x: jax.Array, kernel: jax.Array, grad: jax.Array, *, stride: int, padding: Padding
) -> tuple[jax.Array, jax.Array]:
    """The gradients XLA derives: of x and of the kernel."""
    return jax.vjp(functools.partial(forward, stride=stride, padding=padding), x, kernel)[1](grad)
