"""Depthwise convolution as Pallas kernels for NVIDIA GPUs (Ampere and newer), through Triton.

**Unmeasured**: right in Pallas' interpreter and lowered for CUDA, but not run on a GPU. So nothing
chooses it but ``MATNET_JAX_GPU_DEPTHWISE=triton``; see the package.

A program computes a tile of columns and channels. Channels lie next to one another in memory, so
loads are whole lines; rows and columns that the padding adds are masked, never stored. Sums are
float32. The filter gradient keeps its k² sums in registers over many rows.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.experimental import pallas as pl
from jax.experimental.pallas import triton as pltriton

from matnet_jax.nn.depthwise.xla import Padding

# Powers of two, as Triton wants them. The filter's tile is small: it is held k² times.
_COLUMNS, _CHANNELS = 16, 64
_FILTER_COLUMNS, _FILTER_CHANNELS = 8, 32
_PROGRAMS = 2048  # that the filter gradient is divided into: some a multiprocessor


def forward(
    x: jax.Array, kernel: jax.Array, *, stride: int, padding: Padding, interpret: bool = False
) -> jax.Array:
    """See `depthwise_conv`; `interpret` runs the kernel in Python, for tests."""
    batch, height, width, channels = x.shape
    (top, bottom), (left, right) = padding
    rows = (height + top + bottom - kernel.shape[0]) // stride + 1
    cols = (width + left + right - kernel.shape[1]) // stride + 1

    def source(i: Any, u: int, before: int) -> Any:
        return i * stride + u - before, True

    return _gather(x, kernel, (batch, rows, cols, channels), source, (top, left), interpret)


def backward(
    x: Any, kernel: Any, grad: Any, *, stride: int, padding: Padding, interpret: bool = False
) -> Any:
    """Gradients of x and of the kernel."""
    (top, _), (left, _) = padding

    def source(i: Any, u: int, before: int) -> Any:
        # Input i was seen through tap u at output (i + before - u) / stride, where that is whole.
        seen = i + before - u
        return lax.div(seen, stride), lax.rem(seen, stride) == 0

    dx = _gather(grad, kernel, x.shape, source, (top, left), interpret)
    return dx, _filter_gradient(x, kernel, grad, stride, (top, left), interpret)


def _gather(
    x: Any, kernel: Any, shape: Any, source: Callable, before: tuple[int, int], interpret: bool
) -> Any:
    """Of each result the sum over taps (u, v) of kernel[u, v] times what `source` says it sees."""
    batch, rows, cols, channels = shape
    taps_h, taps_w, _ = kernel.shape

    def body(x_ref: Any, kernel_ref: Any, y_ref: Any) -> None:
        n, i = _divided(pl.program_id(0), rows)
        j = pl.program_id(1) * _COLUMNS + jnp.arange(_COLUMNS)[:, None]
        c = pl.program_id(2) * _CHANNELS + jnp.arange(_CHANNELS)[None, :]
        total = jnp.zeros((_COLUMNS, _CHANNELS), jnp.float32)
        for u in range(taps_h):
            row, row_is_whole = source(i, u, before[0])
            for v in range(taps_w):
                col, col_is_whole = source(j, v, before[1])
                seen = _load(x_ref, n, row, col, c, row_is_whole & col_is_whole)
                total += seen * _masked(kernel_ref.at[u, v, c], c < channels)
        _store(y_ref.at[n, i, j, c], total, (j < cols) & (c < channels))

    return pl.pallas_call(
        body,
        out_shape=jax.ShapeDtypeStruct(shape, x.dtype),
        grid=(batch * rows, pl.cdiv(cols, _COLUMNS), pl.cdiv(channels, _CHANNELS)),
        interpret=interpret,
        **_compiled(interpret),
    )(x, kernel)


def _filter_gradient(
    x: Any, kernel: Any, grad: Any, stride: int, before: tuple[int, int], interpret: bool
) -> Any:
    batch, rows, cols, channels = grad.shape
    taps_h, taps_w, _ = kernel.shape
    blocks = pl.cdiv(channels, _FILTER_CHANNELS)
    parts = min(batch * rows, pl.cdiv(_PROGRAMS, blocks))
    lines = pl.cdiv(batch * rows, parts)  # a program's share of all rows of the batch

    def body(x_ref: Any, grad_ref: Any, sums_ref: Any) -> None:
        part = pl.program_id(0)
        c = pl.program_id(1) * _FILTER_CHANNELS + jnp.arange(_FILTER_CHANNELS)[None, :]
        tiles = pl.cdiv(cols, _FILTER_COLUMNS)

        def add_tile(index: Any, totals: Any) -> Any:
            line, tile = _divided(index, tiles)
            line += part * lines
            n, i = _divided(line, rows)
            j = tile * _FILTER_COLUMNS + jnp.arange(_FILTER_COLUMNS)[:, None]
            is_ours = line < batch * rows
            g = _load(grad_ref, n, i, j, c, is_ours)
            return tuple(
                total
                + g
                * _load(
                    x_ref, n, i * stride + u - before[0], j * stride + v - before[1], c, is_ours
                )
                for total, (u, v) in zip(totals, taps, strict=True)
            )

        taps = [(u, v) for u in range(taps_h) for v in range(taps_w)]
        zeros = (jnp.zeros((_FILTER_COLUMNS, _FILTER_CHANNELS), jnp.float32),) * len(taps)
        for total, (u, v) in zip(
            lax.fori_loop(0, lines * tiles, add_tile, zeros), taps, strict=True
        ):
            _store(sums_ref.at[part, u, v, c[0]], jnp.sum(total, axis=0), c[0] < channels)

    sums = pl.pallas_call(
        body,
        out_shape=jax.ShapeDtypeStruct((parts, *kernel.shape), jnp.float32),
        grid=(parts, blocks),
        interpret=interpret,
        **_compiled(interpret),
    )(x, grad)
    return jnp.sum(sums, axis=0).astype(kernel.dtype)


def _divided(index: Any, by: int) -> Any:
    return lax.div(index, by), lax.rem(index, by)


def _load(ref: Any, n: Any, i: Any, j: Any, c: Any, also: bool = True) -> Any:
    """ref[n, i, j, c] in float32, zero outside of it."""
    _, rows, cols, channels = ref.shape
    return _masked(
        ref.at[n, i, j, c], (i >= 0) & (i < rows) & (j >= 0) & (j < cols) & (c < channels) & also
    )


def _masked(view: Any, mask: Any) -> Any:
    return pltriton.load(view, mask=mask, other=0.0).astype(jnp.float32)


def _store(view: Any, value: Any, mask: Any) -> None:
    pltriton.store(view, value.astype(view.dtype), mask=mask)


def _compiled(interpret: bool) -> dict:
    return {} if interpret else {"compiler_params": pltriton.CompilerParams(num_warps=4)}
