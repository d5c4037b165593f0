"""`gather`, in the forms in which networks use it: elements by number, and a part by its corner."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from matnet_jax.checkpoints.export.onnx.errors import UnsupportedError
from matnet_jax.checkpoints.export.onnx.graph import Graph, Rule, Tensor
from matnet_jax.checkpoints.export.onnx.shapes import permuted, sliced, without


def gather(graph: Graph, eqn: Any, inputs: Sequence[Tensor]) -> Tensor:
    """A part of `x`, or what numbers along some axes choose of it."""
    x, indices = inputs
    numbers, sizes = eqn.params["dimension_numbers"], eqn.params["slice_sizes"]
    if numbers.operand_batching_dims or numbers.start_indices_batching_dims:
        raise UnsupportedError("gather with batching dimensions")
    if not indices.is_known:
        raise UnsupportedError("gather by numbers that depend on the image")
    if indices.value.ndim == 1:
        return _part(graph, x, indices.value, numbers, sizes)
    axes = tuple(numbers.start_index_map)
    rest = [axis for axis in range(len(x.shape)) if axis not in axes]
    if set(numbers.collapsed_slice_dims) != set(axes) or any(sizes[a] != x.shape[a] for a in rest):
        raise UnsupportedError(f"gather of slices {tuple(sizes)} of {x.shape}")
    last = np.array([x.shape[axis] - 1 for axis in axes])
    chosen = np.clip(indices.value, 0, last).astype(np.int64)
    # The numbers' axes come first; where they are meant to be, no offset is.
    name = graph.whole(x, (*axes, *rest))
    if len(axes) == 1:
        name = graph.op("Gather", name, chosen[..., 0], axis=0)
    else:
        name = graph.op("GatherND", name, chosen)
    own = chosen.ndim - 1
    shape = (*chosen.shape[:-1], *(x.shape[axis] for axis in rest))
    left, right = iter(range(own)), iter(range(own, len(shape)))
    offsets = numbers.offset_dims
    meant = [next(right if axis in offsets else left) for axis in range(len(shape))]
    return permuted(Tensor(shape, x.dtype, name), meant)


def _part(
    graph: Graph, x: Tensor, corner: np.ndarray, numbers: Any, sizes: Sequence[Any]
) -> Tensor:
    starts: list[Any] = [0] * len(x.shape)
    for axis, start in zip(numbers.start_index_map, corner, strict=True):
        starts[axis] = int(np.clip(start, 0, x.shape[axis] - sizes[axis]))
    limits = [
        size if start == 0 else start + size for start, size in zip(starts, sizes, strict=True)
    ]
    return without(graph, sliced(graph, x, starts, limits), numbers.collapsed_slice_dims)


RULES: dict[str, Rule] = {"gather": gather}
