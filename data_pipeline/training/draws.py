"""Random numbers that are a pure function of a seed and of what they are for."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.random.bit_generator import ISeedSequence


class _Key(ISeedSequence):
    """Hands Philox its key: with ``key=`` it would ask the system for entropy too, and be slow."""

    def __init__(self, *words: int) -> None:
        self._words = np.array(words, np.uint64)

    def generate_state(self, n_words: int, dtype: object = np.uint32) -> np.ndarray:
        """The key, whatever is asked for."""
        return self._words


def stream(seed: int, number: int) -> np.random.Generator:
    """Of a seed, the random stream of that number: Philox, whose key the two are, 64 bits each."""
    key: Any = _Key(seed, number)  # NumPy's stubs know no sequence but its own
    return np.random.Generator(np.random.Philox(key))
