"""Primitives that move elements or repeat them, and compute nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from matnet_jax.checkpoints.export.onnx.errors import UnsupportedError
from matnet_jax.checkpoints.export.onnx.graph import (
    Dim,
    Graph,
    Rule,
    Tensor,
    constant,
    is_static,
    onnx_type,
    plain,
)


def same(graph: Graph, eqn: Any, inputs: Sequence[Tensor]) -> Tensor:
    """What means nothing outside of training and compiling."""
    return inputs[0]


def broadcast_in_dim(graph: Graph, eqn: Any, inputs: Sequence[Tensor]) -> Tensor:
    """Nothing is repeated yet: new axes get the length 1."""
    x, shape = inputs[0], tuple(eqn.outvars[0].aval.shape)
    kept = tuple(eqn.params["broadcast_dimensions"])
    repeated = frozenset(
        axis
        for axis in range(len(shape))
        if axis not in kept
        or kept.index(axis) in x.repeated
        or (_is_one(x.shape[kept.index(axis)]) and not _is_one(shape[axis]))
    )
    new = tuple(axis for axis in range(len(shape)) if axis not in kept)
    if x.data is not None:
        data = np.expand_dims(x.data, new) if new else x.data
        return Tensor(shape, x.dtype, data=data, repeated=repeated)
    if not new:
        return Tensor(shape, x.dtype, x.name, order=x.order, repeated=repeated)
    # New axes stand where they are meant if the others are in order, else in front.
    if x.in_order:
        order, places = tuple(range(len(shape))), new
    else:
        order = (*new, *(kept[axis] for axis in x.order))
        places = tuple(range(len(new)))
    name = graph.op("Unsqueeze", x.name, np.array(places, np.int64))
    return Tensor(shape, x.dtype, name, order=order, repeated=repeated)


def squeeze(graph: Graph, eqn: Any, inputs: Sequence[Tensor]) -> Tensor:
    """Axes of length 1 go, wherever they are stored."""
    return without(graph, inputs[0], eqn.params["dimensions"])


def without(graph: Graph, x: Tensor, axes: Sequence[int]) -> Tensor:
    """`x` without axes of length 1."""
    gone = {axis % len(x.shape) for axis in axes}
    if not gone:
        return x
    left = [axis for axis in range(len(x.shape)) if axis not in gone]
    shape = tuple(x.shape[axis] for axis in left)
    repeated = frozenset(left.index(axis) for axis in x.repeated if axis not in gone)
    if x.data is not None:
        return Tensor(shape, x.dtype, data=x.data.squeeze(tuple(gone)), repeated=repeated)
    places = np.array([i for i, axis in enumerate(x.order) if axis in gone], np.int64)
    order = tuple(left.index(axis) for axis in x.order if axis not in gone)
    name = graph.op("Squeeze", x.name, places)
    return Tensor(shape, x.dtype, name, order=order, repeated=repeated)


def transpose(graph: Graph, eqn: Any, inputs: Sequence[Tensor]) -> Tensor:
    """The same elements, meant in another order."""
    return permuted(inputs[0], eqn.params["permutation"])


def permuted(x: Tensor, permutation: Sequence[int]) -> Tensor:
    """`x` with axis `permutation[i]` as its axis i."""
    permutation = tuple(permutation)
    shape = tuple(x.shape[axis] for axis in permutation)
    repeated = frozenset(permutation.index(axis) for axis in x.repeated)
    if x.data is not None:
        data = x.data.transpose(permutation)
        return Tensor(shape, x.dtype, data=data, repeated=repeated)
    order = tuple(permutation.index(axis) for axis in x.order)
    return Tensor(shape, x.dtype, x.name, order=order, repeated=repeated)


def reshape(graph: Graph, eqn: Any, inputs: Sequence[Tensor]) -> Tensor:
    """In order of what is meant."""
    x, shape = inputs[0], tuple(eqn.outvars[0].aval.shape)
    if x.data is not None and x.data.size == 1:
        ones = (1,) * len(shape)
        every = frozenset(range(len(shape)))
        return Tensor(shape, x.dtype, data=x.data.reshape(ones), repeated=every)
    return Tensor(shape, x.dtype, reshaped(graph, graph.whole(x), shape))


def reshaped(graph: Graph, name: str, shape: Sequence[Dim]) -> str:
    """The name of what has `shape`, of which one axis may be symbolic."""
    symbolic = sum(not isinstance(dim, int) for dim in shape)
    if symbolic > 1:
        raise UnsupportedError(f"the shape {tuple(shape)} holds the batch more than once")
    lengths = [dim if isinstance(dim, int) else -1 for dim in shape]
    return graph.op("Reshape", name, np.array(lengths, np.int64))


def slice_(graph: Graph, eqn: Any, inputs: Sequence[Tensor]) -> Tensor:
    """Starts, limits and strides that are known."""
    p = eqn.params
    strides = p["strides"] or (1,) * len(inputs[0].shape)
    return sliced(graph, inputs[0], p["start_indices"], p["limit_indices"], strides)


def sliced(
    graph: Graph,
    x: Tensor,
    starts: Sequence[Dim],
    limits: Sequence[Dim],
    strides: Sequence[int] | None = None,
) -> Tensor:
    """A part of `x`; an axis that is symbolic is taken whole."""
    parts: dict[int, tuple[int, int, int]] = {}
    shape = list(x.shape)
    for axis, dim in enumerate(x.shape):
        start, limit = plain(starts[axis]), plain(limits[axis])
        stride = strides[axis] if strides else 1
        if _equal(start, 0) and _equal(limit, dim) and stride == 1:
            continue
        shape[axis] = -(-(limit - start) // stride)
        if not is_static((dim, start, limit)):
            start, limit = _from_end(dim, start), _from_end(dim, limit)
        if axis not in x.repeated:
            parts[axis] = (start, limit, stride)
    return _cut(graph, x, tuple(shape), parts)


def _cut(
    graph: Graph, x: Tensor, shape: tuple[Dim, ...], parts: dict[int, tuple[int, int, int]]
) -> Tensor:
    repeated = x.repeated
    if not parts:
        return Tensor(shape, x.dtype, x.name, x.data, x.order, repeated)
    if x.data is not None:
        keys = [slice(*parts[axis]) if axis in parts else slice(None) for axis in range(len(shape))]
        return Tensor(shape, x.dtype, data=x.data[tuple(keys)], repeated=repeated)
    columns = np.array(list(parts.values()), np.int64).T
    places = np.array([x.order.index(axis) for axis in parts], np.int64)
    name = graph.op("Slice", x.name, columns[0], columns[1], places, columns[2])
    return Tensor(shape, x.dtype, name, order=x.order, repeated=repeated)


def dynamic_slice(graph: Graph, eqn: Any, inputs: Sequence[Tensor]) -> Tensor:
    """A slice whose starts turn out to be known."""
    x, sizes = inputs[0], eqn.params["slice_sizes"]
    starts = []
    for dim, size, start in zip(x.shape, sizes, inputs[1:], strict=True):
        if _equal(dim, size):
            starts.append(0)
        elif start.data is None:
            raise UnsupportedError("a slice whose start depends on the image")
        else:
            starts.append(int(np.clip(start.data.item(), 0, dim - size)))
    limits = [
        dim if _equal(dim, n) else s + n for dim, n, s in zip(x.shape, sizes, starts, strict=True)
    ]
    return sliced(graph, x, starts, limits)


def split(graph: Graph, eqn: Any, inputs: Sequence[Tensor]) -> list[Tensor]:
    """Parts along an axis, one after another."""
    x, axis = inputs[0], eqn.params["axis"]
    found, start = [], 0
    for size in eqn.params["sizes"]:
        found.append(_part(graph, x, axis, start, start + size))
        start += size
    return found


def unstack(graph: Graph, eqn: Any, inputs: Sequence[Tensor]) -> list[Tensor]:
    """Entries along an axis; a primitive from JAX 0.12 on."""
    return [entry(graph, inputs[0], eqn.params["axis"], i) for i in range(len(eqn.outvars))]


def entry(graph: Graph, x: Tensor, axis: int, i: int) -> Tensor:
    """The i-th along an axis, without the axis."""
    return without(graph, _part(graph, x, axis, i, i + 1), [axis])


def _part(graph: Graph, x: Tensor, axis: int, start: int, limit: Dim) -> Tensor:
    starts, limits = [0] * len(x.shape), list(x.shape)
    starts[axis], limits[axis] = start, limit
    return sliced(graph, x, starts, limits)


def rev(graph: Graph, eqn: Any, inputs: Sequence[Tensor]) -> Tensor:
    """Axes from their ends to their starts."""
    x = inputs[0]
    axes = [axis for axis in eqn.params["dimensions"] if axis not in x.repeated]
    least = int(np.iinfo(np.int64).min)
    if x.data is not None:
        return Tensor(x.shape, x.dtype, data=np.flip(x.data, tuple(axes)), repeated=x.repeated)
    return _cut(graph, x, x.shape, dict.fromkeys(axes, (-1, least, -1)))


def concatenate(graph: Graph, eqn: Any, inputs: Sequence[Tensor]) -> Tensor:
    """In the order of the first that is no constant."""
    return joined(graph, inputs, eqn.params["dimension"], tuple(eqn.outvars[0].aval.shape))


def joined(graph: Graph, inputs: Sequence[Tensor], axis: int, shape: tuple[Dim, ...]) -> Tensor:
    """`inputs` one after another along an axis."""
    inputs = [x for x in inputs if not (isinstance(x.shape[axis], int) and x.shape[axis] == 0)]
    order = next((x.order for x in inputs if x.data is None), tuple(range(len(shape))))
    names = [graph.whole(x, order) for x in inputs]
    name = graph.op("Concat", *names, axis=order.index(axis))
    return Tensor(shape, inputs[0].dtype, name, order=order)


def stack(graph: Graph, eqn: Any, inputs: Sequence[Tensor]) -> Tensor:
    """Along a new axis."""
    return stacked(graph, inputs, eqn.params["axis"], tuple(eqn.outvars[0].aval.shape))


def stacked(graph: Graph, inputs: Sequence[Tensor], axis: int, shape: tuple[Dim, ...]) -> Tensor:
    """`inputs` along a new axis."""
    place = np.array([axis], np.int64)
    names = [graph.op("Unsqueeze", graph.whole(x), place) for x in inputs]
    return Tensor(shape, inputs[0].dtype, graph.op("Concat", *names, axis=axis))


def pad(graph: Graph, eqn: Any, inputs: Sequence[Tensor]) -> Tensor:
    """Values around, between (interior), or negative: what is cut off."""
    x, value = inputs
    config = eqn.params["padding_config"]
    for axis, (_, _, between) in enumerate(config):
        if between:
            x = spread(graph, x, axis, between, value)
    return padded(graph, x, [(low, high) for low, high, _ in config], value)


def padded(graph: Graph, x: Tensor, widths: Sequence[tuple[int, int]], value: Tensor) -> Tensor:
    """`x` with so much of `value` before and after each axis; less than 0 is cut off."""
    starts = [max(-low, 0) for low, _ in widths]
    limits = [dim - max(-high, 0) for dim, (_, high) in zip(x.shape, widths, strict=True)]
    x = sliced(graph, x, starts, limits)
    widths = [(max(low, 0), max(high, 0)) for low, high in widths]
    if not any(map(any, widths)):
        return x
    shape = tuple(dim + low + high for dim, (low, high) in zip(x.shape, widths, strict=True))
    sides = np.array([[widths[axis][side] for axis in x.order] for side in (0, 1)], np.int64)
    name = graph.op("Pad", graph.whole(x, x.order), sides.ravel(), graph.whole(value))
    return Tensor(shape, x.dtype, name, order=x.order)


def spread(graph: Graph, x: Tensor, axis: int, between: int, value: Tensor) -> Tensor:
    """`x` with so many of `value` between any two elements of an axis."""
    n, rank = x.shape[axis], len(x.shape)
    name = graph.op("Unsqueeze", graph.whole(x), np.array([axis + 1], np.int64))
    sides = np.zeros(2 * (rank + 1), np.int64)
    sides[rank + 1 + axis + 1] = between
    name = graph.op("Pad", name, sides, graph.whole(value))
    wide = (*x.shape[:axis], n * (between + 1), *x.shape[axis + 1 :])
    found = Tensor(wide, x.dtype, reshaped(graph, name, wide))
    return sliced(graph, found, [0] * rank, [*wide[:axis], wide[axis] - between, *wide[axis + 1 :]])


def dim_as_value(graph: Graph, eqn: Any, inputs: Sequence[Tensor]) -> Tensor:
    """A length that is known at run time, as a number."""
    dim, dtype = eqn.params["dim"], np.dtype(eqn.outvars[0].aval.dtype)
    if isinstance(dim, int):
        return constant(np.array(dim, dtype))
    name = graph.op("Squeeze", graph.length(dim))
    return Tensor((), dtype, graph.op("Cast", name, to=onnx_type(dtype)))


def _from_end(dim: Dim, place: Dim) -> int:
    """A place in an axis that is symbolic; JAX knows that the axis is so long."""
    if isinstance(place, int):
        return place
    left = dim - place
    if not isinstance(left, int):
        raise UnsupportedError(f"the place {place} of an axis of length {dim}")
    return -left if left else int(np.iinfo(np.int64).max)


def _is_one(dim: Dim) -> bool:
    return isinstance(dim, int) and dim == 1


def _equal(a: Dim, b: Dim) -> bool:
    """Of symbolic lengths, those that are the same expression."""
    return bool(a == b) if isinstance(a, int) == isinstance(b, int) else False


RULES: dict[str, Rule] = {
    "broadcast_in_dim": broadcast_in_dim,
    "concatenate": concatenate,
    "copy": same,
    "copy_p": same,
    "dim_as_value": dim_as_value,
    "dynamic_slice": dynamic_slice,
    "pad": pad,
    "reduce_precision": same,
    "reshape": reshape,
    "rev": rev,
    "slice": slice_,
    "split": split,
    "unstack": unstack,
    "squeeze": squeeze,
    "stack": stack,
    "stop_gradient": same,
    "transpose": transpose,
}
