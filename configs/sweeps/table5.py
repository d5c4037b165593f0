"""Table 5: the number of attention maps M."""

from configs.sweeps.runs import CELEB_DF, FFPP, MAT, ONE_MAP, mat
from matnet_jax.sweep import Cell, Row, Run, Sweep

_PUBLISHED = {1: (97.26, 67.30), 2: (97.51, 65.74), 3: (97.35, 66.86), 4: (97.60, 67.44)} | {
    5: (97.39, 66.82)
}
_STAGES = {"model.texture_stage": "L2", "model.attention_stage": "L5"}


def _run(count: int) -> Run:
    if count == 1:
        return Run("maps-1", FFPP, {**ONE_MAP, **_STAGES})
    return MAT if count == 4 else mat(f"maps-{count}", model__num_attentions=count)


SWEEP = Sweep(
    title="Table 5: number of attention maps",
    columns=("FF++ HQ ACC", "Celeb-DF AUC"),
    runs=tuple(_run(count) for count in _PUBLISHED),
    rows=tuple(
        Row(
            f"M = {count}",
            (
                Cell(accuracy, _run(count).name, FFPP, "frame.acc"),
                Cell(area, _run(count).name, CELEB_DF, "frame.auc"),
            ),
        )
        for count, (accuracy, area) in _PUBLISHED.items()
    ),
)
