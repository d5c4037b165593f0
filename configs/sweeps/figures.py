"""Figures 1, 4, 5 and 6: attention maps without and with the regional loss and AGDA."""

from configs.sweeps.runs import FFPP
from configs.sweeps.table6 import ablation
from matnet_jax.sweep import Cell, Row, Sweep

_FIGURES = {
    "Figure 4: no RIL, no AGDA": ("none", "none"),
    "Figure 5: RIL alone": ("ril", "none"),
    "Figures 1 and 6: RIL and AGDA": ("ril", "soft"),
}

SWEEP = Sweep(
    title="Figures 1, 4, 5, 6: attention maps of FF++ HQ test faces",
    columns=("overlap", "entropy"),
    runs=tuple(ablation(*key) for key in _FIGURES.values()),
    rows=tuple(
        Row(
            name,
            tuple(
                Cell(None, ablation(*key).name, FFPP, f"attention.all.{number}")
                for number in ("overlap", "entropy")
            ),
        )
        for name, key in _FIGURES.items()
    ),
    pictures=tuple(ablation(*key).name for key in _FIGURES.values()),
    note="Overlap: mean cosine between two maps of a face. The paper prints no numbers for it.",
)
