"""Where the time of MAT's forward pass or of its training step goes, operation by operation.

    python -m benchmarks.profile [--part=train_step] [--recipe=released] [--top=20]

A line a kind of operation, the longest first: what the compiler made of the same layer of every
block, and of the same direction, is one kind. Times are of the compiled program's own instructions,
by JAX's profiler; what they overlap is counted twice, and what lies between them not at all, so
their sum is near the time of a call and not the same. For CPUs: other devices' traces name their
kernels otherwise, and are to be looked at with XProf.
"""

from __future__ import annotations

import os
import re
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from absl import app, flags

from benchmarks.lines import emit

_PART = flags.DEFINE_enum("part", "train_step", ["forward", "train_step"], "What is profiled.")
_CALLS = flags.DEFINE_integer("calls", 3, "Calls that are profiled, after one that is not.")
_TOP = flags.DEFINE_integer("top", 20, "Kinds of operations to print; the rest are one line.")

_INSTRUCTION = re.compile(r"^\s+(?:ROOT )?%?([\w.-]+) = .*$", re.MULTILINE)
_OF_LAYER = re.compile(r'op_name="([^"]*)"')
_TRANSFORMED = re.compile(r"(?:jit|jvp|transpose|vmap)\((.*)\)")
_CONTROL = re.compile(r"cond|while|body|closed_call|checkpoint|rematted_computation|branch_\d+_fun")


class Kind(NamedTuple):
    """What operations have in common: `backward`, where they are of a gradient."""

    operation: str
    backward: bool


def kinds(program: str) -> dict[str, Kind]:
    """The kind of every instruction of a compiled program, given as text, by its name."""
    return {line[1]: _kind(line[1], line[0]) for line in _INSTRUCTION.finditer(program)}


def _kind(instruction: str, line: str) -> Kind:
    found = _OF_LAYER.search(line)
    if not found:  # the compiler's own: a copy, a transposition
        return Kind(re.sub(r"[.\d]+$", "", instruction), backward=False)
    parts = [part for part in found[1].split("/")[1:] if not _CONTROL.fullmatch(part)]
    names = [re.sub(r"_?\d+", "", _plain(part)) for part in parts]
    return Kind("/".join(filter(None, names[-3:])), backward="transpose(" in found[1])


def _plain(name: str) -> str:
    """Without the transformations of JAX: transpose(jvp(Block)) is Block."""
    while inner := _TRANSFORMED.fullmatch(name):
        name = inner[1]
    return name


def profiled(
    call: Callable[[], object], kinds: Mapping[str, Kind], calls: int
) -> tuple[Counter[Kind], float]:
    """Nanoseconds of each kind over so many calls, and the seconds that these took in all."""
    import jax
    from jax.profiler import ProfileData

    total: Counter[Kind] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        with jax.profiler.trace(folder):
            start = time.perf_counter()
            for _ in range(calls):
                call()
            seconds = time.perf_counter() - start
        (trace,) = Path(folder).rglob("*.xplane.pb")
        for plane in ProfileData.from_file(str(trace)).planes:
            for line in plane.lines:
                for event in line.events:
                    if event.name in kinds:
                        total[kinds[event.name]] += event.duration_ns
    return total, seconds


def main(_: list[str]) -> None:
    """Runs the command."""
    from benchmarks.network import programs
    from benchmarks.settings import settings
    from matnet_jax.runtime.sharding import data_mesh

    part, calls = _PART.value, _CALLS.value
    compiled, call = programs(data_mesh(), part)[part]
    call()
    total, seconds = profiled(call, kinds(compiled.as_text()), calls)
    everything, ranked = sum(total.values()), total.most_common()
    for kind, ns in ranked[: _TOP.value]:
        emit(f"profile_{part}", ns / calls / 1e6, "ms", share=ns / everything, **kind._asdict())
    rest = sum(ns for _, ns in ranked[_TOP.value :])
    emit(f"profile_{part}", rest / calls / 1e6, "ms", share=rest / everything, operation="others")
    emit(
        f"profile_{part}_all",
        everything / calls / 1e6,
        "ms",
        call_ms=seconds / calls * 1e3,
        **settings(),
        malloc=os.environ.get("GLIBC_TUNABLES", ""),
    )


if __name__ == "__main__":
    from benchmarks.settings import define_flags

    define_flags(batch_size=4, dtype="float32")
    app.run(main)
