"""Sums, largest and smallest values: over axes, or in windows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from matnet_jax.checkpoints.export.onnx.errors import UnsupportedError
from matnet_jax.checkpoints.export.onnx.graph import Graph, Rule, Tensor, onnx_type


def reduction(kind: str) -> Rule:
    """Of ONNX's operator `kind`, over axes wherever they are stored."""

    def rule(graph: Graph, eqn: Any, inputs: Sequence[Tensor]) -> Tensor:
        x, axes = inputs[0], tuple(eqn.params["axes"])
        left = [axis for axis in range(len(x.shape)) if axis not in axes]
        order = tuple(left.index(axis) for axis in x.order if axis not in axes)
        name = graph.whole(x, x.order)
        places = np.array(sorted(x.order.index(axis) for axis in axes), np.int64)
        if kind == "ReduceSum" and len(x.shape) == 4 and list(places) == [2, 3]:
            # Which runtimes compute in their own layout of channels.
            name = graph.op("Squeeze", graph.op("GlobalAveragePool", name), places)
            count = math.prod(x.shape[axis] for axis in axes)
            name = graph.op("Mul", name, np.array(count, x.dtype))
        else:
            name = graph.op(kind, name, places, keepdims=0)
        return Tensor(tuple(eqn.outvars[0].aval.shape), x.dtype, name, order=order)

    return rule


def arg_reduction(kind: str) -> Rule:
    """The place of the largest or smallest value along an axis, the first of equals."""

    def rule(graph: Graph, eqn: Any, inputs: Sequence[Tensor]) -> Tensor:
        x, (axis,) = inputs[0], eqn.params["axes"]
        aval = eqn.outvars[0].aval
        name = graph.op(kind, graph.whole(x), axis=axis, keepdims=0)
        name = graph.op("Cast", name, to=onnx_type(aval.dtype))
        return Tensor(tuple(aval.shape), np.dtype(aval.dtype), name)

    return rule


def windowed(kind: str) -> Rule:
    """MaxPool, or a sum as so many averages, over the axes whose window is larger than 1."""

    def rule(graph: Graph, eqn: Any, inputs: Sequence[Tensor]) -> Tensor:
        x, p = inputs[0], eqn.params
        window, strides, padding = p["window_dimensions"], p["window_strides"], p["padding"]
        dilation = p.get("window_dilation") or (1,) * len(window)
        if any(n != 1 for n in (*(p.get("base_dilation") or ()), *dilation)):
            raise UnsupportedError("a window with holes")
        still = [
            a for a in range(len(window)) if window[a] == strides[a] == 1 and not any(padding[a])
        ]
        if len(still) == len(window):
            return x
        if len(still) < 2:
            raise UnsupportedError(f"windows {tuple(window)}: only over all axes but two")
        rest = [still[0], still[-1]]
        used = [axis for axis in range(len(window)) if axis not in rest]
        order = (*rest, *used)
        attributes: dict[str, Any] = {"count_include_pad": 1} if kind == "AveragePool" else {}
        name = graph.op(
            kind,
            graph.whole(x, order),
            kernel_shape=[window[axis] for axis in used],
            strides=[strides[axis] for axis in used],
            pads=[padding[axis][side] for side in (0, 1) for axis in used],
            **attributes,
        )
        if kind == "AveragePool":
            name = graph.op("Mul", name, np.array(math.prod(window), x.dtype))
        return Tensor(tuple(eqn.outvars[0].aval.shape), x.dtype, name, order=order)

    return rule


RULES: dict[str, Rule] = {
    "argmax": arg_reduction("ArgMax"),
    "argmin": arg_reduction("ArgMin"),
    "reduce_max": reduction("ReduceMax"),
    "reduce_min": reduction("ReduceMin"),
    "reduce_prod": reduction("ReduceProd"),
    "reduce_sum": reduction("ReduceSum"),
    "reduce_window_max": windowed("MaxPool"),
    "reduce_window_sum": windowed("AveragePool"),
}
