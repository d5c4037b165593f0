"""The paper's tables: grids of runs, each trained and evaluated, beside the published figures."""

from matnet_jax.sweep.definition import Cell, Row, Run, Sweep

__all__ = ["Cell", "Row", "Run", "Sweep"]
