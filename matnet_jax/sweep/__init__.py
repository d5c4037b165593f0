"""The paper's tables: grids of runs, each trained and evaluated, beside the published figures."""

from matnet_jax.sweep.definition import Blended, Cell, Fitted, Released, Row, Run, Sweep

__all__ = ["Blended", "Cell", "Fitted", "Released", "Row", "Run", "Sweep"]
