"""Scores the finalists of configs/sweeps/weights.py by the people to judge by: once, at the end.

In the same workdir, so that nothing is trained again; `--only` scores the chosen one alone.
"""

from __future__ import annotations

from configs.sweeps.weights import EARLIER, FINALISTS, GATE, SEEDS, finalist
from matnet_jax.sweep import Cell, Row, Sweep

_METRICS = ("video.auc", "video.tpr_at_fpr_1")


def _cells(run: str) -> tuple[Cell, ...]:
    return tuple(Cell(None, run, GATE, metric) for metric in _METRICS)


SWEEP = Sweep(
    title="Swaps between people to judge by, and videos, against photos",
    columns=("AUC", "found at 1 % false alarms"),
    runs=(EARLIER, *(finalist(name, seed) for name in FINALISTS for seed in SEEDS)),
    rows=(
        Row("plain head, with cameras, 905 steps, seed 0", _cells(EARLIER.name)),
        *(
            Row(f"{title}, seed {seed}", _cells(f"{name}-{seed}"))
            for name, (title, _) in FINALISTS.items()
            for seed in SEEDS
        ),
    ),
    note="Whether a network may be handed out is said by `matnet gate judge`, not by these.",
)
