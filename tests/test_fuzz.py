"""Ruined files of every kind are read or refused: a share of what `tests/fuzz.py` does."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fuzz import fuzz, ruin

FILES = 60


@pytest.mark.parametrize(
    "name",
    ["pictures", "videos", "extractions", "scores.csv", "predictions.jsonl", "weights", "configs"],
)
def test_ruined_files(name: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    root = Path(__file__).parents[1]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(root / "tests"), str(root)]))
    tally = fuzz(name, FILES)
    assert not tally.failures
    assert tally.read + tally.refused == FILES and tally.refused


def test_a_ruin_is_made_of_its_number_alone() -> None:
    whole, other = bytes(range(256)), bytes(256)
    made = [ruin(whole, other, np.random.default_rng((0, number))) for number in (1, 1, 2)]
    assert made[0] == made[1] != made[2] and whole not in made
    assert isinstance(ruin(b"", b"", np.random.default_rng(0)), bytes)
