"""An ONNX graph as it grows: transposes and broadcasts are put off until an operator needs them.

Our images have channels last, ONNX's convolutions channels first. A tensor that is stored in
another order than is meant costs nothing as long as what reads it can do with that order, and so
all of a convolutional network is computed with channels first.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from matnet_jax.checkpoints.export.onnx.errors import UnsupportedError

OPSET = 18
IR_VERSION = 8
"""Of files that ONNX Runtime reads since 1.14 (2023)."""

Dim = Any
"""The length of an axis: an int, or an expression of the batch, which is known at run time."""


@dataclasses.dataclass(frozen=True, eq=False)
class Tensor:
    """A value of the program.

    Attributes:
      shape: what is meant, such as (b, 24, 24, 32).
      dtype: NumPy's.
      name: in the graph; "" of a constant.
      data: of a constant, its axes as meant, repeated ones of length 1.
      order: axis i of what is stored is axis order[i] of what is meant.
      repeated: axes, as meant, along which all is the same: they are stored with length 1.
    """

    shape: tuple[Dim, ...]
    dtype: np.dtype
    name: str = ""
    data: np.ndarray | None = None
    order: tuple[int, ...] = ()
    repeated: frozenset[int] = frozenset()

    def __post_init__(self) -> None:
        object.__setattr__(self, "shape", tuple(map(plain, self.shape)))
        if len(self.order) != len(self.shape):
            object.__setattr__(self, "order", tuple(range(len(self.shape))))

    @property
    def in_order(self) -> bool:
        """Whether axes are stored as they are meant."""
        return self.order == tuple(range(len(self.shape)))

    @property
    def value(self) -> np.ndarray:
        """Of a constant without symbolic axes, whole."""
        assert self.data is not None
        return np.broadcast_to(self.data, self.shape)

    @property
    def is_known(self) -> bool:
        """Whether `value` is there."""
        return self.data is not None and is_static(self.shape)


def constant(value: Any) -> Tensor:
    """A tensor that is known."""
    array = np.asarray(value)
    return Tensor(array.shape, array.dtype, data=array)


def onnx_type(dtype: Any) -> int:
    """ONNX's number of a NumPy type."""
    return helper.np_dtype_to_tensor_dtype(np.dtype(dtype))


def plain(dim: Dim) -> Dim:
    """An int where a primitive holds one of NumPy's."""
    return int(dim) if isinstance(dim, np.integer) else dim


def is_static(shape: Sequence[Dim]) -> bool:
    """Whether all lengths are known now."""
    return all(isinstance(dim, int) for dim in shape)


class Graph:
    """Nodes in order, and constants, each stored once.

    Args:
      batch: the symbol of the images' first axis.
    """

    def __init__(self, batch: Dim) -> None:
        self._batch = batch
        self._nodes: dict[str, onnx.NodeProto] = {}  # by each of its outputs
        self._constants: dict[tuple[Any, ...], str] = {}
        self._initializers: dict[str, onnx.TensorProto] = {}
        self._stored: dict[tuple[Any, ...], str] = {}
        self._inputs: list[onnx.ValueInfoProto] = []

    def input(self, name: str, shape: tuple[Dim, ...]) -> Tensor:
        """The graph's input, float32."""
        self._inputs.append(_info(name, shape))
        return Tensor(shape, np.dtype(np.float32), name)

    def op(self, kind: str, *inputs: str | np.ndarray, **attributes: Any) -> str:
        """Adds a node of one output and returns the output's name; arrays become constants."""
        return self.ops(kind, *inputs, outputs=1, **attributes)[0]

    def ops(
        self, kind: str, *inputs: str | np.ndarray, outputs: int, **attributes: Any
    ) -> list[str]:
        """Adds a node of several outputs."""
        names = [x if isinstance(x, str) else self._constant(x) for x in inputs]
        made = [f"{kind}_{len(self._nodes) + i}" for i in range(outputs)]
        node = helper.make_node(kind, names, made, name=made[0], **attributes)
        self._nodes.update(dict.fromkeys(made, node))
        return made

    def producer(self, name: str) -> tuple[str, list[str]]:
        """Kind and inputs of the node that made a value; ("", []) of an input or a constant."""
        node = self._nodes.get(name)
        return ("", []) if node is None else (node.op_type, list(node.input))

    def stored(self, x: Tensor, order: Sequence[int]) -> str:
        """The name of `x` with its axes in `order`, repeated ones of length 1."""
        order = tuple(order)
        if x.data is not None:
            return self._constant(x.data.transpose(order))
        if x.order == order:
            return x.name
        return self._once("Transpose", x.name, perm=[x.order.index(axis) for axis in order])

    def whole(self, x: Tensor, order: Sequence[int] | None = None) -> str:
        """The name of `x` with its axes in `order`, by default as meant, none left out."""
        order = tuple(range(len(x.shape)) if order is None else order)
        if x.is_known:
            return self._constant(x.value.transpose(order))
        name = self.stored(x, order)
        if not any(x.shape[axis] != 1 for axis in x.repeated):
            return name
        # A length of 1 leaves the other's as it is.
        lengths = [x.shape[axis] if axis in x.repeated else 1 for axis in order]
        return self._once("Expand", name, self.lengths(lengths))

    def lengths(self, shape: Sequence[Dim]) -> str:
        """A shape as int64 [rank], its symbolic axes as they are at run time."""
        if is_static(shape):
            return self._constant(np.array(shape, np.int64))
        parts: list[str] = []
        for dim in shape:
            if isinstance(dim, int):
                parts.append(self._constant(np.array([dim], np.int64)))
            else:
                parts.append(self.length(dim))
        return self._once("Concat", *parts, axis=0)

    def length(self, dim: Dim) -> str:
        """The length of a symbolic axis, int64 [1]: a multiple of the batch.

        Raises:
          UnsupportedError: it is none.
        """
        factor, rest = divmod(dim, self._batch)
        if not isinstance(factor, int) or rest != 0:
            raise UnsupportedError(f"an axis of length {dim}: only multiples of the batch are read")
        name = self._once("Shape", self._inputs[0].name, start=0, end=1)
        if factor == 1:
            return name
        return self._once("Mul", name, self._constant(np.array([factor], np.int64)))

    def model(self, outputs: dict[str, Tensor]) -> onnx.ModelProto:
        """The finished model; what no output needs is left out."""
        found = {}
        for name, x in outputs.items():
            found[name] = self.op("Identity", self.whole(x))
        needed = self._needed(list(found.values()))
        nodes = list({id(n): n for o, n in self._nodes.items() if o in needed}.values())
        for node in nodes:
            for name, own in found.items():
                if node.output[0] == own:
                    node.output[0] = name
        used = {name for node in nodes for name in node.input}
        graph = helper.make_graph(
            nodes,
            "network",
            self._inputs,
            [_info(name, x.shape) for name, x in outputs.items()],
            [tensor for name, tensor in self._initializers.items() if name in used],
        )
        return helper.make_model(
            graph,
            producer_name="matnet-jax",
            ir_version=IR_VERSION,
            opset_imports=[helper.make_opsetid("", OPSET)],
        )

    def _needed(self, names: list[str]) -> set[str]:
        needed: set[str] = set()
        while names:
            name = names.pop()
            if name in self._nodes and name not in needed:
                needed.update(self._nodes[name].output)
                names.extend(self._nodes[name].input)
        return needed

    def _once(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """`op`, whose result is used again where the same is asked for."""
        key = (kind, inputs, str(sorted(attributes.items())))
        if key not in self._stored:
            self._stored[key] = self.op(kind, *inputs, **attributes)
        return self._stored[key]

    def _constant(self, array: np.ndarray) -> str:
        array = np.ascontiguousarray(array).reshape(array.shape)
        key = (array.dtype.str, array.shape, hashlib.sha256(array.tobytes()).digest())
        if key not in self._constants:
            name = f"constant_{len(self._constants)}"
            self._constants[key] = name
            self._initializers[name] = numpy_helper.from_array(array, name)
        return self._constants[key]


def _info(name: str, shape: Sequence[Dim]) -> onnx.ValueInfoProto:
    lengths = [dim if isinstance(dim, int) else str(dim) for dim in shape]
    return helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, lengths)


Rule = Callable[[Graph, Any, Sequence[Tensor]], Tensor | list[Tensor]]
"""Of a primitive: (graph, equation, inputs) -> what it gives."""
