"""Scores the finalists of configs/sweeps/weights.py by the people to judge by: once, at the end.

In the same workdir, so that nothing is trained again; `--only` scores the chosen one alone.
"""

from __future__ import annotations

from configs.sweeps.weights import FINALISTS, GATE, SEEDS, finalist
from matnet_jax.sweep import Cell, Row, Sweep

_METRICS = ("video.auc", "video.tpr_at_fpr_1")

SWEEP = Sweep(
    title="Swaps between people to judge by, and videos, against photos",
    columns=("AUC", "found at 1 % false alarms"),
    runs=tuple(finalist(name, seed) for name in FINALISTS for seed in SEEDS),
    rows=tuple(
        Row(
            f"{title}, seed {seed}",
            tuple(Cell(None, f"{name}-{seed}", GATE, metric) for metric in _METRICS),
        )
        for name, (title, _) in FINALISTS.items()
        for seed in SEEDS
    ),
    note="Whether a network may be handed out is said by `matnet gate judge`, not by these.",
)
