"""From JAX's traced program to ONNX: each primitive by its rule, and what is known now at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from jax.extend.core import ClosedJaxpr, Jaxpr, Literal

from matnet_jax.checkpoints.export.onnx import (
    contractions,
    elementwise,
    indexing,
    reductions,
    shapes,
)
from matnet_jax.checkpoints.export.onnx.errors import UnsupportedError
from matnet_jax.checkpoints.export.onnx.graph import Graph, Rule, Tensor, constant, is_static

RULES: dict[str, Rule] = {
    **elementwise.RULES,
    **shapes.RULES,
    **contractions.RULES,
    **reductions.RULES,
    **indexing.RULES,
}
"""By primitive."""

_LAZY = {
    *elementwise.RULES,
    "broadcast_in_dim",
    "squeeze",
    "transpose",
    "slice",
    "split",
    "unstack",
    "rev",
}
"""Whose rules compute constants themselves, and leave repeated axes out of them."""


def interpret(graph: Graph, closed: ClosedJaxpr, inputs: Sequence[Tensor]) -> list[Tensor]:
    """What the program gives of `inputs`.

    Raises:
      UnsupportedError: a primitive has no rule, or not for this use of it.
    """
    return _run(graph, closed.jaxpr, [constant(x) for x in closed.consts], inputs)


def _run(
    graph: Graph, jaxpr: Jaxpr, consts: Sequence[Tensor], inputs: Sequence[Tensor]
) -> list[Tensor]:
    known: dict[Any, Tensor] = dict(zip(jaxpr.constvars, consts, strict=True))
    known.update(zip(jaxpr.invars, inputs, strict=True))

    def read(atom: Any) -> Tensor:
        if isinstance(atom, Literal):
            aval: Any = atom.aval
            return constant(np.asarray(atom.val, aval.dtype))
        return known[atom]

    for eqn in jaxpr.eqns:
        found = _apply(graph, eqn, [read(atom) for atom in eqn.invars])
        known.update(zip(eqn.outvars, found, strict=True))
    return [read(atom) for atom in jaxpr.outvars]


def _apply(graph: Graph, eqn: Any, inputs: list[Tensor]) -> list[Tensor]:
    name = eqn.primitive.name
    if name in _CONTROL:
        return _CONTROL[name](graph, eqn, inputs)
    static = all(is_static(v.aval.shape) for v in eqn.outvars)
    if name not in _LAZY and name != "dim_as_value" and static and all(x.is_known for x in inputs):
        found = eqn.primitive.bind(*[x.value for x in inputs], **eqn.params)
        return [constant(x) for x in (found if eqn.primitive.multiple_results else [found])]
    rule = RULES.get(name)
    try:
        if rule is None:
            raise UnsupportedError("no rule for it")
        made = rule(graph, eqn, inputs)
    except UnsupportedError as error:
        given = ", ".join(v.aval.str_short() for v in eqn.invars)
        raise UnsupportedError(
            f"ONNX cannot take this network: its primitive {name} of {given}: {error}. Use "
            "--engine=jax, or --format=stablehlo"
        ) from error
    return made if isinstance(made, list) else [made]


def _inline(graph: Graph, eqn: Any, inputs: list[Tensor]) -> list[Tensor]:
    """A function in the program, as if it stood there."""
    p = eqn.params
    inner = next(p[key] for key in ("jaxpr", "call_jaxpr", "fun_jaxpr") if key in p)
    if isinstance(inner, ClosedJaxpr):
        return interpret(graph, inner, inputs)
    return _run(graph, inner, [], inputs)


def _platform(graph: Graph, eqn: Any, inputs: list[Tensor]) -> list[Tensor]:
    """The branch for platforms that JAX does not know."""
    places = [i for i, names in enumerate(eqn.params["platforms"]) if names is None]
    if not places:
        raise UnsupportedError(f"a function for {eqn.params['platforms']} only")
    return [constant(np.array(places[0], np.int32))]


def _cond(graph: Graph, eqn: Any, inputs: list[Tensor]) -> list[Tensor]:
    which, *arguments = inputs
    branches = eqn.params["branches"]
    if which.data is None:
        raise UnsupportedError("ONNX cannot take this network: its cond depends on the image")
    place = int(np.clip(int(which.data.item()), 0, len(branches) - 1))
    return interpret(graph, branches[place], arguments)


def _scan(graph: Graph, eqn: Any, inputs: list[Tensor]) -> list[Tensor]:
    """Step by step: lengths are known, and short where networks have them."""
    p = eqn.params
    if "num_consts" in p:
        consts, carry = p["num_consts"], p["num_carry"]
    else:  # from JAX 0.12 on
        consts, carry, _ = (len(list(part)) for part in p["ft_in"].unpack())
    fixed, state = inputs[:consts], inputs[consts : consts + carry]
    steps = range(p["length"])
    collected: dict[int, list[Tensor]] = {}
    for i in reversed(steps) if p["reverse"] else steps:
        own = [shapes.entry(graph, x, 0, i) for x in inputs[consts + carry :]]
        found = interpret(graph, p["jaxpr"], [*fixed, *state, *own])
        state, collected[i] = found[:carry], found[carry:]
    stacks = []
    for k, var in enumerate(eqn.outvars[carry:]):
        column = [collected[i][k] for i in steps]
        stacks.append(shapes.stacked(graph, column, 0, tuple(var.aval.shape)))
    return [*state, *stacks]


_CONTROL: dict[str, Callable[[Graph, Any, list[Tensor]], list[Tensor]]] = {
    **dict.fromkeys(
        (
            "jit",
            "pjit",
            "closed_call",
            "custom_jvp_call",
            "custom_vjp_call",
            "remat2",
            "checkpoint",
        ),
        _inline,
    ),
    "cond": _cond,
    "platform_index": _platform,
    "scan": _scan,
}
