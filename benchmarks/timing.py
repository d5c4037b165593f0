"""Timing a function against another in turns, so that both meet the same neighbours."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TypeVar

Key = TypeVar("Key")


def best_seconds(
    functions: Mapping[Key, Callable[[], object]], *, repeats: int = 5
) -> dict[Key, float]:
    """The fastest of `repeats` calls of each function, called in turns.

    Args:
      functions: each returns when its work is done.
      repeats: after one call that compiles and fills caches.
    """
    best = dict.fromkeys(functions, float("inf"))
    for function in functions.values():
        function()
    for _ in range(repeats):
        for name, function in functions.items():
            start = time.perf_counter()
            function()
            best[name] = min(best[name], time.perf_counter() - start)
    return best
