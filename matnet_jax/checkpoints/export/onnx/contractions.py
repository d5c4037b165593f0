"""Convolutions and matrix products, in the order in which their operands are stored."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from matnet_jax.checkpoints.export.onnx.errors import UnsupportedError
from matnet_jax.checkpoints.export.onnx.graph import Dim, Graph, Rule, Tensor, constant
from matnet_jax.checkpoints.export.onnx.shapes import padded, reshaped, spread


def conv_general_dilated(graph: Graph, eqn: Any, inputs: Sequence[Tensor]) -> Tensor:
    """Channels first, as ONNX has it; the result stays so."""
    p, (x, kernel) = eqn.params, inputs
    if p["batch_group_count"] != 1:
        raise UnsupportedError(f"batch_group_count {p['batch_group_count']}: only 1 is known here")
    lhs, rhs, out = p["dimension_numbers"]
    zero = constant(np.zeros((), x.dtype))
    for axis, dilation in zip(lhs[2:], p["lhs_dilation"], strict=True):
        if dilation > 1:
            x = spread(graph, x, axis, dilation - 1, zero)
    padding = list(p["padding"])
    if any(width < 0 for pair in padding for width in pair):
        widths = [(0, 0)] * len(x.shape)
        for axis, pair in zip(lhs[2:], padding, strict=True):
            widths[axis] = pair
        x, padding = padded(graph, x, widths, zero), [(0, 0)] * len(padding)
    name = graph.op(
        "Conv",
        graph.whole(x, lhs),
        graph.whole(kernel, rhs),
        kernel_shape=[kernel.shape[axis] for axis in rhs[2:]],
        strides=list(p["window_strides"]),
        dilations=list(p["rhs_dilation"]),
        group=p["feature_group_count"],
        pads=[pair[side] for side in (0, 1) for pair in padding],
    )
    return Tensor(tuple(eqn.outvars[0].aval.shape), x.dtype, name, order=tuple(out))


def dot_general(graph: Graph, eqn: Any, inputs: Sequence[Tensor]) -> Tensor:
    """A 1×1 convolution, a product with weights, or one of two batches of matrices."""
    (lhs, rhs), (batch, _) = eqn.params["dimension_numbers"]
    x, y = inputs
    shape, dtype = tuple(eqn.outvars[0].aval.shape), np.dtype(eqn.outvars[0].aval.dtype)
    if x.dtype != np.float32 or y.dtype != np.float32 or dtype != np.float32:
        raise UnsupportedError(f"a product of {x.dtype} and {y.dtype}: only of float32")
    if not batch and y.is_known:
        name, order = _by_weights(graph, x, lhs, y, rhs)
        return Tensor(shape, dtype, name, order=order)
    if not batch and x.is_known:
        name, order = _by_weights(graph, y, rhs, x, lhs)
        # The weights' axes come first of what is meant.
        new = len(x.shape) - len(lhs)
        kept = len(y.shape) - len(rhs)
        meant = [axis + new if axis < kept else axis - kept for axis in order]
        return Tensor(shape, dtype, name, order=tuple(meant))
    return Tensor(shape, dtype, _by_batches(graph, inputs, eqn.params["dimension_numbers"], shape))


def _by_weights(
    graph: Graph, x: Tensor, axes: Sequence[int], weights: Tensor, theirs: Sequence[int]
) -> tuple[str, tuple[int, ...]]:
    """The free axes of `x`, then the weights', and the order in which they are stored."""
    new = [axis for axis in range(len(weights.shape)) if axis not in theirs]
    matrix = weights.value.transpose([*theirs, *new])
    lengths = [weights.shape[axis] for axis in new]
    matrix = matrix.reshape(math.prod(matrix.shape[: len(theirs)]), math.prod(lengths))
    free = [axis for axis in range(len(x.shape)) if axis not in axes]
    # What it is after the free axes are counted anew.
    counted = {axis: i for i, axis in enumerate(free)}
    if len(x.shape) == 4 and list(axes) == [3] and len(new) == 1:
        kernel = np.ascontiguousarray(matrix.T)[:, :, None, None]
        name = graph.op("Conv", graph.whole(x, (0, 3, 1, 2)), kernel, kernel_shape=[1, 1])
        return name, (0, 3, 1, 2)
    stored = [axis for axis in x.order if axis not in axes]
    if len(axes) == 1:
        name = graph.whole(x, [*stored, *axes])
    else:
        stored = free
        lengths_kept = [x.shape[axis] for axis in free]
        name = reshaped(graph, graph.whole(x, [*free, *axes]), [*lengths_kept, len(matrix)])
    name = graph.op("MatMul", name, matrix)
    order = tuple(counted[axis] for axis in stored)
    if len(new) != 1:
        name = reshaped(graph, name, [*(x.shape[axis] for axis in stored), *lengths])
    return name, (*order, *range(len(free), len(free) + len(new)))


def _by_batches(
    graph: Graph, inputs: Sequence[Tensor], numbers: Any, shape: tuple[Dim, ...]
) -> str:
    """Of two tensors that are not known: batches of matrices."""
    sides = []
    for x, axes, batch in zip(inputs, *numbers, strict=True):
        free = [axis for axis in range(len(x.shape)) if axis not in (*axes, *batch)]
        sides.append((x, list(batch), free, list(axes)))
    (x, x_batch, x_free, x_axes), (y, y_batch, y_free, y_axes) = sides
    left = _merged(graph, x, [[axis] for axis in x_batch] + [x_free, x_axes])
    right = _merged(graph, y, [[axis] for axis in y_batch] + [y_axes, y_free])
    name = graph.op("MatMul", left, right)
    if len(x_free) == len(y_free) == 1:
        return name
    return reshaped(graph, name, shape)


def _merged(graph: Graph, x: Tensor, groups: Sequence[Sequence[int]]) -> str:
    """The name of `x` with each group of axes made one."""
    name = graph.whole(x, [axis for group in groups for axis in group])
    if all(len(group) == 1 for group in groups):
        return name
    lengths = [math.prod(x.shape[axis] for axis in group) for group in groups]
    return reshaped(graph, name, lengths)


RULES: dict[str, Rule] = {"conv_general_dilated": conv_general_dilated, "dot_general": dot_general}
