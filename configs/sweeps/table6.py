"""Table 6: the auxiliary loss (none, AMS, RIL) against the augmentation (none, hard, soft).

The paper prints seven of the nine combinations.
"""

from configs.sweeps.runs import CELEB_DF, FFPP, MAT, mat
from matnet_jax.sweep import Cell, Row, Run, Sweep

_PUBLISHED = {
    ("none", "none"): (96.74, 64.86),
    ("ams", "none"): (96.49, 64.23),
    ("ril", "none"): (97.38, 65.85),
    ("ams", "hard"): (96.53, 63.73),
    ("ril", "hard"): (97.24, 64.40),
    ("ams", "soft"): (96.78, 66.42),
    ("ril", "soft"): (97.60, 67.44),
}


def ablation(loss: str, augmentation: str) -> Run:
    """The run of one combination."""
    if (loss, augmentation) == ("ril", "soft"):
        return MAT
    return mat(f"{loss}-{augmentation}", losses__auxiliary=loss, agda__mode=augmentation)


SWEEP = Sweep(
    title="Table 6: auxiliary loss and augmentation",
    columns=("FF++ HQ ACC", "Celeb-DF AUC"),
    runs=tuple(ablation(*key) for key in _PUBLISHED),
    rows=tuple(
        Row(
            f"{loss.upper() if loss != 'none' else 'no loss'}, "
            f"{augmentation if augmentation != 'none' else 'no'} AGDA",
            (
                Cell(accuracy, ablation(loss, augmentation).name, FFPP, "frame.acc"),
                Cell(area, ablation(loss, augmentation).name, CELEB_DF, "frame.auc"),
            ),
        )
        for (loss, augmentation), (accuracy, area) in _PUBLISHED.items()
    ),
    note="AMS is the additive cosine margin softmax over maps (docs/fidelity.md).",
)
