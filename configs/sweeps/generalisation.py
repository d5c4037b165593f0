"""What self-blended images give on forgeries that training never saw, and what each part of them.

No table of the paper: docs/generalisation.md has the figures and the commands.
"""

from __future__ import annotations

from typing import Any

from matnet_jax.sweep import Cell, Row, Run, Sweep

PORTRAITS, SWAPS, FFPP = "portraits", "swaps", "ffpp-videos"
_KINDS = ("poisson", "paste", "splice")
_MAT = {"model.name": "mat"}

_RUNS: dict[str, tuple[str, dict[str, Any]]] = {
    "sbi": ("plain head, all of it", {}),
    "sbi-hard": ("no soft mask", {"self_blended.soft": False}),
    "sbi-hull": ("one region, the hull", {"self_blended.regions": ("hull",)}),
    "sbi-five": ("outline of 5 points", {"self_blended.outline": "five"}),
    "sbi-no-sam": ("no SAM", {"optimizer.sam_rho": 0.0}),
    "sbi-mat": ("MAT head", _MAT),
    "sbi-1": ("plain head, seed 1", {"seed": 1}),
    "sbi-mat-1": ("MAT head, seed 1", _MAT | {"seed": 1}),
    "sbi-2": ("plain head, seed 2", {"seed": 2}),
    "sbi-mat-2": ("MAT head, seed 2", _MAT | {"seed": 2}),
}


def _cells(run: str) -> tuple[Cell, ...]:
    kinds = [Cell(None, run, SWAPS, f"by_subset.{kind}.video.auc") for kind in _KINDS]
    return (Cell(None, run, SWAPS, "video.auc"), *kinds, Cell(None, run, FFPP, "frame.auc"))


SWEEP = Sweep(
    title="AUC on forgeries that training never saw",
    columns=("swaps", *(f"of them {kind}" for kind in _KINDS), "FF++ frames"),
    runs=tuple(Run(name, PORTRAITS, changes) for name, (_, changes) in _RUNS.items()),
    rows=tuple(Row(title, _cells(name)) for name, (title, _) in _RUNS.items()),
    note="In brackets: 95 % intervals of a bootstrap.",
)
