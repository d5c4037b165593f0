"""Depthwise convolution as k² shifted multiply-adds: the form for CPUs.

The forward pass is one loop over the output, the input gradient is the same form per stride phase,
and the filter gradient is one reduction.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from matnet_jax.nn.depthwise.xla import Padding


def _accumulator(dtype: jnp.dtype) -> jnp.dtype:
    return jnp.promote_types(dtype, jnp.float32)


def _pad(x: jax.Array, padding: Padding) -> jax.Array:
    """Zeros around x, with a barrier behind.

    Without it the compiler finds that the middle tap is x itself and makes what x comes from, an
    activation say, an array of its own beside the padded one.
    """
    return lax.optimization_barrier(jnp.pad(x, ((0, 0), *padding, (0, 0))))


class _Cropped(NamedTuple):
    """What lies in `padded` [B, H, W, C] from `start` on, `size` rows and columns of it."""

    padded: jax.Array
    start: tuple[int, int]
    size: tuple[int, int]


def tap(x: jax.Array, u: int, v: int, size: tuple[int, int], stride: int = 1) -> jax.Array:
    """What each output position sees stride by stride from (u, v) on: [B, h, w, C]."""
    (h, w), (b, _, _, c) = size, x.shape
    limit = (b, u + (h - 1) * stride + 1, v + (w - 1) * stride + 1, c)
    return lax.slice(x, (0, u, v, 0), limit, (1, stride, stride, 1))


def _correlate(
    padded: jax.Array,
    kernel: jax.Array,
    size: tuple[int, int],
    stride: int = 1,
    start: tuple[int, int] = (0, 0),
) -> jax.Array:
    """k² shifted multiply-adds from `start` on; XLA fuses them into one loop over the output."""
    taps_h, taps_w, _ = kernel.shape
    dtype = _accumulator(padded.dtype)
    total = sum(
        tap(padded, start[0] + u, start[1] + v, size, stride).astype(dtype)
        * kernel[u, v].astype(dtype)
        for u in range(taps_h)
        for v in range(taps_w)
    )
    return jnp.asarray(total, padded.dtype)


def forward(x: jax.Array, kernel: jax.Array, *, stride: int, padding: Padding) -> jax.Array:
    """See `depthwise_conv`."""
    padded = _pad(x, padding)
    taps_h, taps_w, _ = kernel.shape
    size = ((padded.shape[1] - taps_h) // stride + 1, (padded.shape[2] - taps_w) // stride + 1)
    return _correlate(padded, kernel, size, stride)


def backward(
    x: jax.Array, kernel: jax.Array, grad: jax.Array, *, stride: int, padding: Padding
) -> tuple[jax.Array, jax.Array]:
    """Input and filter gradients of `forward`."""
    _, height, width, _ = x.shape
    (top, bottom), (left, right) = padding
    # Both read one padded gradient: else the compiler writes the gradient without zeros too.
    phase = (-(-(height + top + bottom) // stride), -(-(width + left + right) // stride))
    taps_h, taps_w = (-(-taps // stride) for taps in kernel.shape[:2])
    around = ((taps_h - 1, phase[0] - grad.shape[1]), (taps_w - 1, phase[1] - grad.shape[2]))
    seen = _Cropped(_pad(grad, around), (taps_h - 1, taps_w - 1), (grad.shape[1], grad.shape[2]))
    lattice = _input_gradient(seen, kernel, phase, stride)
    return (
        lattice[:, top : top + height, left : left + width],
        _filter_gradient(_pad(x, padding), kernel, seen, stride),
    )


def _input_gradient(
    grad: _Cropped, kernel: jax.Array, size: tuple[int, int], stride: int
) -> jax.Array:
    """Each stride phase of the input is a full convolution with every stride-th filter tap.

    So a strided input gradient costs k² operations an *output* element, where dilating `grad` and
    convolving would cost k² an input element.
    """

    def one(a: int, b: int) -> jax.Array:
        taps = kernel[a::stride, b::stride]
        start = (grad.start[0] + 1 - taps.shape[0], grad.start[1] + 1 - taps.shape[1])
        # The far edge may need less than a full convolution: rows past the input are cropped later.
        return _correlate(grad.padded, taps[::-1, ::-1], size, start=start)

    phases = [[one(a, b) for b in range(stride)] for a in range(stride)]
    if stride == 1:
        return phases[0][0]
    lattice = jnp.stack([jnp.stack(line, axis=3) for line in phases], axis=2)
    batch, channels = grad.padded.shape[0], grad.padded.shape[-1]
    return lattice.reshape(batch, size[0] * stride, size[1] * stride, channels)


def _filter_gradient(
    padded: jax.Array, kernel: jax.Array, grad: _Cropped, stride: int
) -> jax.Array:
    """One variadic reduction with k² accumulators: reads the map once."""
    taps_h, taps_w, _ = kernel.shape
    dtype = _accumulator(padded.dtype)
    seen = tap(grad.padded, *grad.start, grad.size).astype(dtype)
    products = [
        tap(padded, u, v, grad.size, stride).astype(dtype) * seen
        for u in range(taps_h)
        for v in range(taps_w)
    ]
    zeros = [jnp.zeros((), dtype)] * len(products)
    sums = lax.reduce(
        products, zeros, lambda a, b: [i + j for i, j in zip(a, b, strict=True)], (1, 2)
    )
    # Over the batch apart: XLA makes no all-reduce of a variadic reduction over devices.
    return jnp.sum(jnp.stack(sums), axis=1).reshape(kernel.shape).astype(kernel.dtype)
