"""Primitives that compute each element by itself, on tensors whose axes are in any one order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from matnet_jax.checkpoints.export.onnx.errors import UnsupportedError
from matnet_jax.checkpoints.export.onnx.graph import Graph, Rule, Tensor, onnx_type

Operand = str | np.ndarray
Make = Callable[..., str]


def _node(kind: str, **attributes: Any) -> Make:
    return lambda graph, eqn, *operands: graph.op(kind, *operands, **attributes)


def _not_equal(graph: Graph, eqn: Any, a: Operand, b: Operand) -> str:
    return graph.op("Not", graph.op("Equal", a, b))


def _rsqrt(graph: Graph, eqn: Any, x: Operand) -> str:
    return graph.op("Reciprocal", graph.op("Sqrt", x))


def _log1p(graph: Graph, eqn: Any, x: Operand) -> str:
    return graph.op("Log", graph.op("Add", x, _scalar(eqn, 1)))


def _square(graph: Graph, eqn: Any, x: Operand) -> str:
    return graph.op("Mul", x, x)


def _integer_pow(graph: Graph, eqn: Any, x: Operand) -> str:
    return graph.op("Pow", x, _scalar(eqn, eqn.params["y"]))


def _round(graph: Graph, eqn: Any, x: Operand) -> str:
    method = eqn.params["rounding_method"]
    if method.name != "TO_NEAREST_EVEN":
        raise UnsupportedError(f"rounding by {method.name}: only TO_NEAREST_EVEN is known here")
    return graph.op("Round", x)


def _bits(logical: str, bitwise: str) -> Make:
    def make(graph: Graph, eqn: Any, *operands: Operand) -> str:
        return graph.op(logical if _dtype(eqn) == np.bool_ else bitwise, *operands)

    return make


def _shift_right(graph: Graph, eqn: Any, x: Operand, by: Operand) -> str:
    """Of signed numbers, which ONNX does not shift: the quotient, rounded down."""
    power = graph.op("Cast", graph.op("Pow", _scalar(eqn, 2, float), by), to=onnx_type(_dtype(eqn)))
    return graph.op("Div", graph.op("Sub", x, graph.op("Mod", x, power)), power)


def _maximum(graph: Graph, eqn: Any, a: Operand, b: Operand) -> str:
    for x, least in ((a, b), (b, a)):
        if isinstance(least, np.ndarray) and not least.any() and _dtype(eqn) == np.float32:
            return graph.op("Relu", x)  # which runtimes join with a convolution
    return graph.op("Max", a, b)


def _minimum(graph: Graph, eqn: Any, a: Operand, b: Operand) -> str:
    for x, most in ((a, b), (b, a)):
        kind, inputs = graph.producer(x) if isinstance(x, str) else ("", [])
        if kind == "Relu" and isinstance(most, np.ndarray) and most.size == 1:
            return graph.op("Clip", inputs[0], _scalar(eqn, 0), most.reshape(()))
    return graph.op("Min", a, b)


def _clamp(graph: Graph, eqn: Any, least: Operand, x: Operand, most: Operand) -> str:
    return graph.op("Min", graph.op("Max", x, least), most)


def _select(graph: Graph, eqn: Any, which: Operand, *cases: Operand) -> str:
    if eqn.invars[0].aval.dtype != np.bool_ or len(cases) != 2:
        raise UnsupportedError(f"a choice among {len(cases)} by a number: only of two by a bool")
    return graph.op("Where", which, cases[1], cases[0])


def _erfc(graph: Graph, eqn: Any, x: Operand) -> str:
    return graph.op("Sub", _scalar(eqn, 1), graph.op("Erf", x))


def _cast(graph: Graph, eqn: Any, x: Operand) -> str:
    return graph.op("Cast", x, to=onnx_type(_dtype(eqn)))


MAKERS: dict[str, tuple[Make, Callable[..., Any] | None]] = {
    "abs": (_node("Abs"), np.abs),
    "add": (_node("Add"), np.add),
    "and": (_bits("And", "BitwiseAnd"), np.bitwise_and),
    "ceil": (_node("Ceil"), np.ceil),
    "clamp": (_clamp, None),
    "convert_element_type": (_cast, None),
    "cos": (_node("Cos"), np.cos),
    "div": (_node("Div"), None),
    "eq": (_node("Equal"), np.equal),
    "erf": (_node("Erf"), None),
    "erfc": (_erfc, None),
    "exp": (_node("Exp"), np.exp),
    "floor": (_node("Floor"), np.floor),
    "ge": (_node("GreaterOrEqual"), np.greater_equal),
    "gt": (_node("Greater"), np.greater),
    "integer_pow": (_integer_pow, None),
    "le": (_node("LessOrEqual"), np.less_equal),
    "log": (_node("Log"), np.log),
    "log1p": (_log1p, np.log1p),
    "logistic": (_node("Sigmoid"), None),
    "lt": (_node("Less"), np.less),
    "max": (_maximum, np.maximum),
    "min": (_minimum, np.minimum),
    "mul": (_node("Mul"), np.multiply),
    "ne": (_not_equal, np.not_equal),
    "neg": (_node("Neg"), np.negative),
    "not": (_bits("Not", "BitwiseNot"), np.invert),
    "or": (_bits("Or", "BitwiseOr"), np.bitwise_or),
    "pow": (_node("Pow"), None),
    "rem": (_node("Mod", fmod=1), np.fmod),
    "round": (_round, None),
    "rsqrt": (_rsqrt, lambda x: 1 / np.sqrt(x)),
    "select_n": (_select, None),
    "shift_right_arithmetic": (_shift_right, np.right_shift),
    "sign": (_node("Sign"), np.sign),
    "sin": (_node("Sin"), np.sin),
    "sqrt": (_node("Sqrt"), np.sqrt),
    "square": (_square, np.square),
    "sub": (_node("Sub"), np.subtract),
    "tanh": (_node("Tanh"), np.tanh),
}
"""By primitive: what makes its node, and what NumPy calls it, where the two agree."""


def elementwise(graph: Graph, eqn: Any, inputs: Sequence[Tensor]) -> Tensor:
    """The rule of every primitive of `MAKERS`."""
    name, shape = eqn.primitive.name, tuple(eqn.outvars[0].aval.shape)
    make, compute = MAKERS[name]
    dtype = _dtype(eqn)
    if name == "convert_element_type" and inputs[0].dtype == dtype:
        return inputs[0]
    if name == "select_n" and inputs[0].data is not None and inputs[0].data.size == 1:
        return inputs[1 + int(inputs[0].data.item())]
    wide = [x for x in inputs if x.shape]
    repeated = frozenset.intersection(*(x.repeated for x in wide)) if wide else frozenset()
    if all(x.data is not None for x in inputs):
        return _folded(eqn, inputs, repeated, compute)
    # In the order of the largest: only what is small is transposed.
    stored = [x for x in wide if x.data is None]
    order = min(stored, key=lambda x: len(x.repeated)).order if stored else tuple(range(len(shape)))
    operands: list[Operand] = []
    for x in inputs:
        if x.data is not None:
            operands.append(x.data.transpose(order) if x.shape else x.data)
        else:
            operands.append(graph.stored(x, order) if x.shape else x.name)
    return Tensor(shape, dtype, make(graph, eqn, *operands), order=order, repeated=repeated)


def _folded(eqn: Any, inputs: Sequence[Tensor], repeated: frozenset[int], compute: Any) -> Tensor:
    """A constant of constants; what NumPy would compute otherwise is left to JAX."""
    arrays = [np.asarray(x.data) for x in inputs]
    shape, dtype = tuple(eqn.outvars[0].aval.shape), _dtype(eqn)
    if eqn.primitive.name == "convert_element_type":
        found = arrays[0].astype(dtype)
    elif compute is not None:
        found = np.asarray(compute(*arrays)).astype(dtype)
    else:
        stored = [1 if axis in repeated else n for axis, n in enumerate(shape)]
        spread = [np.broadcast_to(a, stored) if a.ndim else a for a in arrays]
        found = np.asarray(eqn.primitive.bind(*spread, **eqn.params))
    return Tensor(shape, dtype, data=found, repeated=repeated)


def _dtype(eqn: Any) -> np.dtype:
    return np.dtype(eqn.outvars[0].aval.dtype)


def _scalar(eqn: Any, value: float, dtype: Any = None) -> np.ndarray:
    return np.asarray(value, dtype=_dtype(eqn) if dtype is None else np.float32)


RULES: dict[str, Rule] = dict.fromkeys(MAKERS, elementwise)
