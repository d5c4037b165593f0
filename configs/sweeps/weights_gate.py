"""Scores the long runs of configs/sweeps/weights.py by the people to judge by: once, at the end.

In the same workdir, so that nothing is trained again; `--only` scores the chosen one alone.
"""

from __future__ import annotations

from configs.sweeps.weights import GATE, LONG
from matnet_jax.sweep import Cell, Row, Sweep

_METRICS = ("video.auc", "video.tpr_at_fpr_1")


def _cells(run: str) -> tuple[Cell, ...]:
    return tuple(Cell(None, run, GATE, metric) for metric in _METRICS)


SWEEP = Sweep(
    title="Swaps between people to judge by, and videos, against photos",
    columns=("AUC", "found at 1 % false alarms"),
    runs=tuple(LONG.values()),
    rows=tuple(Row(title, _cells(run.name)) for title, run in LONG.items()),
    note="Whether a network may be handed out is said by `matnet gate judge`, not by these.",
)
