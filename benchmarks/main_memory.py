"""What a program compiled for a TPU moves through the chip's main memory, from the program's text.

The compiler's own "bytes accessed" counts what stays in the chip's vector memory too, and of a copy
of a part of an array the whole array. Here count operands and results that lie in main memory, as
large as their tiles make them: a map of 24 channels takes as much as one of 128.
"""

from __future__ import annotations

import math
import re
from typing import NamedTuple

from matnet_jax.runtime.hlo import bits

_INSTRUCTION = re.compile(r"^\s*(?:ROOT )?%?([\w.-]+) = (\(.*?\)|\S+) ([\w-]+)\((.*)$")
_ARRAY = re.compile(r"\b(pred|bf16|[fsuc]\d+\w*)\[([\d,]*)\](?:\{([\d,]*)(?::([^}]*))?\})?")
_OPERAND = re.compile(r"%([\w.-]+)")
_TILE = re.compile(r"T\(([\d,]+)\)")
_CYCLES = re.compile(r'"estimated_cycles":"(\d+)"')
_FREE = ("parameter", "get-tuple-element", "tuple", "bitcast", "constant")


class Traffic(NamedTuple):
    """Of one call on one chip: `cycles` is the compiler's estimate, of one operation at a time."""

    bytes: int
    cycles: int


def traffic(program: str) -> Traffic:
    """Counts a compiled program, `compiled.as_text()`, without what loops in it repeat."""
    shapes: dict[str, str] = {}
    moved = cycles = 0
    _, _, entry = program.partition("\nENTRY ")
    for line in entry.splitlines():
        if not (found := _INSTRUCTION.match(line)):
            continue
        name, shape, operation, rest = found.groups()
        shapes[name] = shape
        if operation in _FREE or operation.endswith("-done"):
            continue
        if estimate := _CYCLES.search(line):
            cycles += int(estimate[1])
        if operation in ("copy-start", "slice-start"):
            moved += _asynchronous(shape)
            continue
        operands = _OPERAND.findall(rest.partition("), ")[0])
        moved += sum(_in_main_memory(s) for s in (shape, *map(shapes.get, operands)) if s)
    return Traffic(moved, cycles)


def _asynchronous(shape: str) -> int:
    """Of (source, result, …): as much as is copied, once for each that is in main memory."""
    ends = list(_ARRAY.finditer(shape))[:2]
    return min(map(_size, ends)) * sum(map(_is_there, ends))


def _in_main_memory(shape: str) -> int:
    return sum(_size(array) for array in _ARRAY.finditer(shape) if _is_there(array))


def _is_there(array: re.Match[str]) -> bool:
    return "S(" not in (array[4] or "")  # a memory space with a number is another


def _size(array: re.Match[str]) -> int:
    """Bytes of an array in its layout, whose axes stand from the fastest to the slowest."""
    kind, dims, order, layout = array.groups()
    sizes = [int(size) for size in dims.split(",") if size]
    if order and (tile := _TILE.search(layout or "")):
        axes = [int(axis) for axis in order.split(",")]
        for axis, size in zip(axes, reversed([int(n) for n in tile[1].split(",")]), strict=False):
            sizes[axis] = -(-sizes[axis] // size) * size
    return math.prod(sizes) * bits(kind) // 8
