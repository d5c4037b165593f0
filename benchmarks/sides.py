"""Each side of a comparison in a process of its own: threads and memory of one slow the other."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

from benchmarks.lines import peak_memory
from benchmarks.timing import best_seconds


def run_side(module: str, side: str) -> dict[str, dict[str, Any]]:
    """Runs ``python -m module --side=SIDE`` with this process's flags; its results by name."""
    command = [sys.executable, "-m", module, f"--side={side}", *sys.argv[1:]]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    lines = (line for line in done.stdout.splitlines() if line.startswith("{"))
    return {line["name"]: line for line in map(json.loads, lines)}


def tell(name: str, function: Callable[[], object], *, repeats: int) -> None:
    """In a side's process: times `function` and prints what `run_side` reads."""
    seconds = best_seconds({name: function}, repeats=repeats)[name]
    print(json.dumps({"name": name, "seconds": seconds, "peak_gb": peak_memory()}), flush=True)
