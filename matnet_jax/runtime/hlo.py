"""Facts about a compiled program: its collectives, and what it moves between host and device."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Iterator

_COLLECTIVES = ("all-reduce", "all-gather", "reduce-scatter", "all-to-all", "collective-permute")
_TRANSFERS = ("infeed", "outfeed", "send", "recv", "send-done", "recv-done")
_BITS = {"pred": 8, "bf16": 16, "c64": 64, "c128": 128}
_INSTRUCTION = re.compile(r"^\s*(?:ROOT )?%?[\w.\-]+ = (?P<shape>.+?) (?P<op>[\w\-]+)\(")
_ARRAY = re.compile(r"\b(?P<type>pred|bf16|[fsuc]\d+\w*)\[(?P<dims>[\d,]*)\]")


@dataclasses.dataclass(frozen=True)
class Collective:
    """All instructions of one kind: how many, and bytes of their results on one device."""

    count: int
    bytes: int


def collectives(text: str) -> dict[str, Collective]:
    """The collectives of a program by kind, of `compiled.as_text()`.

    An asynchronous pair counts once, by its beginning.
    """
    found: dict[str, Collective] = {}
    for shape, op in _instructions(text):
        kind = op.removesuffix("-start")
        if kind not in _COLLECTIVES:
            continue
        size = _bytes(shape)
        if op.endswith("-start") and kind != "all-reduce":
            size //= 2  # the shape has operand and result
        before = found.get(kind, Collective(0, 0))
        found[kind] = Collective(before.count + 1, before.bytes + size)
    return found


def host_transfers(text: str) -> list[str]:
    """Instructions by which a program talks to its host while it runs."""
    names = [op for _, op in _instructions(text) if op in _TRANSFERS]
    callbacks = re.findall(r'custom_call_target="([^"]*callback[^"]*)"', text)
    return names + callbacks


def donated(text: str) -> int:
    """How many of a program's results are written over its arguments."""
    header = text.partition("\n")[0]
    aliases = re.search(r"input_output_alias=\{(.*?)\}, entry", header)
    return len(re.findall(r"(?:may|must)-alias", aliases[1] if aliases else header))


def _instructions(text: str) -> Iterator[tuple[str, str]]:
    for line in text.splitlines():
        match = _INSTRUCTION.match(line)
        if match:
            yield match["shape"], match["op"]


def _bytes(shape: str) -> int:
    total = 0
    for match in _ARRAY.finditer(shape):
        dims = [int(n) for n in match["dims"].split(",") if n]
        total += math.prod(dims) * bits(match["type"]) // 8
    return total


def bits(kind: str) -> int:
    """Of one element of a type, by the name that a program's text gives it."""
    if kind in _BITS:
        return _BITS[kind]
    digits = re.match(r"[fsu](\d+)", kind)
    return int(digits[1]) if digits else 8
