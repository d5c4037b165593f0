"""Depthwise convolution as k² shifted multiply-adds: the form for CPUs.

The forward pass is one loop over the output, the input gradient is the same form per stride phase,
and the filter gradient is a reduction picked by the size of the map.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import lax

from matnet_jax.nn.depthwise.xla import Padding

# Below this many output positions a map, one variadic reduction beats a scan over its rows.
_SMALL_MAP = 400


def _accumulator(dtype: jnp.dtype) -> jnp.dtype:
    return jnp.promote_types(dtype, jnp.float32)


def _pad(x: jax.Array, padding: Padding) -> jax.Array:
    return jnp.pad(x, ((0, 0), *padding, (0, 0)))


def _tap(x: jax.Array, u: int, v: int, size: tuple[int, int], stride: int) -> jax.Array:
    """The input each output position sees through filter tap (u, v): [B, h, w, C]."""
    (h, w), (b, _, _, c) = size, x.shape
    limit = (b, u + (h - 1) * stride + 1, v + (w - 1) * stride + 1, c)
    return lax.slice(x, (0, u, v, 0), limit, (1, stride, stride, 1))


def forward(x: jax.Array, kernel: jax.Array, *, stride: int, padding: Padding) -> jax.Array:
    """k² shifted multiply-adds; XLA fuses them into one loop over the output."""
    padded = _pad(x, padding)
    taps_h, taps_w, _ = kernel.shape
    size = ((padded.shape[1] - taps_h) // stride + 1, (padded.shape[2] - taps_w) // stride + 1)
    dtype = _accumulator(x.dtype)
    total = sum(
        _tap(padded, u, v, size, stride).astype(dtype) * kernel[u, v].astype(dtype)
        for u in range(taps_h)
        for v in range(taps_w)
    )
    return jnp.asarray(total, x.dtype)


def backward(
    x: jax.Array, kernel: jax.Array, grad: jax.Array, *, stride: int, padding: Padding
) -> tuple[jax.Array, jax.Array]:
    """Input and filter gradients of `forward`."""
    return (
        _input_gradient(x.shape, kernel, grad, stride, padding),
        _filter_gradient(_pad(x, padding), kernel, grad, stride),
    )


def _input_gradient(
    shape: tuple[int, ...], kernel: jax.Array, grad: jax.Array, stride: int, padding: Padding
) -> jax.Array:
    """Each stride phase of the input is a full convolution with every stride-th filter tap.

    So a strided input gradient costs k² operations an *output* element, where dilating `grad` and
    convolving would cost k² an input element.
    """
    batch, height, width, channels = shape
    (top, bottom), (left, right) = padding
    rows = -(-(height + top + bottom) // stride)
    cols = -(-(width + left + right) // stride)
    phases = [
        [_phase(kernel[a::stride, b::stride], grad, rows, cols) for b in range(stride)]
        for a in range(stride)
    ]
    if stride == 1:
        full = phases[0][0]
    else:
        lattice = jnp.stack([jnp.stack(line, axis=3) for line in phases], axis=2)
        full = lattice.reshape(batch, rows * stride, cols * stride, channels)
    return full[:, top : top + height, left : left + width]


def _phase(taps: jax.Array, grad: jax.Array, rows: int, cols: int) -> jax.Array:
    taps_h, taps_w, _ = taps.shape
    _, height, width, _ = grad.shape
    # The far edge may need less than a full convolution: rows past the input are cropped later.
    around = ((taps_h - 1, rows - height), (taps_w - 1, cols - width))
    return forward(grad, taps[::-1, ::-1], stride=1, padding=around)


def _filter_gradient(
    padded: jax.Array, kernel: jax.Array, grad: jax.Array, stride: int
) -> jax.Array:
    _, height, width, _ = grad.shape
    reduce = _by_reduction if height * width <= _SMALL_MAP else _by_rows
    taps = (kernel.shape[0], kernel.shape[1], kernel.shape[2])
    return reduce(padded, grad, taps, stride).astype(kernel.dtype)


def _by_reduction(
    padded: jax.Array, grad: jax.Array, shape: tuple[int, int, int], stride: int
) -> jax.Array:
    """One variadic reduction with k² accumulators: reads the map once."""
    taps_h, taps_w, _ = shape
    dtype = _accumulator(grad.dtype)
    size = (grad.shape[1], grad.shape[2])
    products = [
        _tap(padded, u, v, size, stride).astype(dtype) * grad.astype(dtype)
        for u in range(taps_h)
        for v in range(taps_w)
    ]
    zeros = [jnp.zeros((), dtype)] * len(products)
    sums = lax.reduce(
        products, zeros, lambda a, b: [i + j for i, j in zip(a, b, strict=True)], (1, 2)
    )
    # Over the batch apart: XLA makes no all-reduce of a variadic reduction over devices.
    return jnp.sum(jnp.stack(sums), axis=1).reshape(shape)


def _by_rows(
    padded: jax.Array, grad: jax.Array, shape: tuple[int, int, int], stride: int
) -> jax.Array:
    """A scan over output rows: a row and its k input rows stay in cache for all k² taps."""
    taps_h, taps_w, _ = shape
    dtype = _accumulator(grad.dtype)
    _, height, width, _ = grad.shape

    def add_row(total: jax.Array, i: jax.Array) -> tuple[jax.Array, None]:
        lines = lax.dynamic_slice_in_dim(padded, i * stride, taps_h, axis=1).astype(dtype)
        row = lax.dynamic_index_in_dim(grad, i, axis=1, keepdims=False).astype(dtype)
        span = (width - 1) * stride + 1
        sums = [
            jnp.sum(lines[:, u, v : v + span : stride] * row, axis=(0, 1))
            for u in range(taps_h)
            for v in range(taps_w)
        ]
        return total + jnp.stack(sums).reshape(shape), None

    return lax.scan(add_row, jnp.zeros(shape, dtype), jnp.arange(height))[0]
