"""The sides of a comparison, each in a process of its own, called in turns.

Threads and memory of one would slow the other in one process; in turns both meet the same
neighbours.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from benchmarks.lines import forget_peak_memory, peak_memory


class Measured(NamedTuple):
    """The fastest call, in seconds, and the most memory that the process had in any, in GB."""

    seconds: float
    peak_gb: float


class Side:
    """A process ``python -m module --side=NAME`` with this one's flags, which calls on request."""

    def __init__(self, module: str, name: str) -> None:
        self.name = name
        command = [sys.executable, "-m", module, f"--side={name}", *sys.argv[1:]]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def call(self, function: str) -> Measured:
        """Has the process call its function of that name.

        Raises:
          RuntimeError: it has ended instead.
        """
        assert self._process.stdin and self._process.stdout
        print(function, file=self._process.stdin, flush=True)
        for line in self._process.stdout:
            if line.startswith("{"):
                return Measured(**json.loads(line))
        raise RuntimeError(
            f"side '{self.name}' ended with status {self._process.wait()} instead of an answer"
        )

    def end(self) -> None:
        """Ends the process."""
        self._process.kill()
        self._process.wait()


def compare(
    module: str, sides: Iterable[str], functions: Iterable[str], *, repeats: int
) -> dict[str, dict[str, Measured]]:
    """Times functions of all sides, one function after the other, in turns.

    Each is called once more before that: it compiles and fills caches, and its memory does not
    count.

    Returns:
      By function and side.

    Raises:
      RuntimeError: a side has ended.
    """
    processes = [Side(module, name) for name in sides]
    try:
        results = {}
        for function in functions:
            for side in processes:
                side.call(function)
            turns = [{s.name: s.call(function) for s in processes} for _ in range(repeats)]
            results[function] = {
                side.name: Measured(
                    min(turn[side.name].seconds for turn in turns),
                    max(turn[side.name].peak_gb for turn in turns),
                )
                for side in processes
            }
        return results
    finally:
        for side in processes:
            side.end()


def answer(functions: Mapping[str, Callable[[], object]]) -> None:
    """In a side's process: calls what standard input names, until it ends."""
    for line in sys.stdin:
        function: Callable[[], Any] = functions[line.strip()]
        forget_peak_memory()
        start = time.perf_counter()
        function()
        measured = Measured(time.perf_counter() - start, peak_memory())
        print(json.dumps(measured._asdict()), flush=True)
