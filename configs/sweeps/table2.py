"""Table 2: FaceForensics++ in high (c23) and low quality (c40), on two backbones.

Every network trains on c40 from its own c23 weights (section 4.3.1), other systems by their own
recipes.
"""

from configs.sweeps.runs import (
    FFPP,
    FFPP_C40,
    MAT,
    MAT_C40,
    PLAIN,
    XCEPTION,
    low_quality,
    system,
)
from matnet_jax.sweep import Cell, Row, Run, Sweep

_OTHERS: dict[str, tuple[str, tuple[float | None, ...]]] = {
    "Steg. Features": ("steg_features", (55.98, None, 70.97, None)),
    "LD-CNN": ("ld_cnn", (58.69, None, 78.45, None)),
    # FaceForensics++'s authors trained MesoInception4.
    "MesoNet": ("mesoinception4", (70.47, None, 83.10, None)),
    "Face X-ray": ("face_xray", (None, 61.60, None, 87.40)),
    "Xception-ELA": ("xception_ela", (79.63, 82.90, 93.86, 94.80)),
    "Xception-PAFilters": ("xception_pafilters", (87.16, 90.20, None, None)),
    "F3-Net": ("f3net", (90.43, 93.30, 97.52, 98.10)),
    "Two Branch": ("two_branch", (None, 86.59, None, 98.70)),
}


def _row(name: str, run: str, figures: tuple[float | None, ...], *, other: bool = False) -> Row:
    low, high = f"{run}-c40", run
    return Row(
        name,
        tuple(
            Cell(figure, trained, data, metric, other=other)
            for figure, (trained, data, metric) in zip(
                figures,
                (
                    (low, FFPP_C40, "frame.acc"),
                    (low, FFPP_C40, "frame.auc"),
                    (high, FFPP, "frame.acc"),
                    (high, FFPP, "frame.auc"),
                ),
                strict=True,
            )
        ),
    )


def _pair(name: str, changes: dict) -> tuple[Run, Run]:
    return Run(name, FFPP, changes), Run(f"{name}-c40", FFPP_C40, changes, starts_from=name)


SWEEP = Sweep(
    title="Table 2: FaceForensics++",
    columns=("LQ ACC", "LQ AUC", "HQ ACC", "HQ AUC"),
    runs=(
        MAT,
        MAT_C40,
        *_pair("mat-xception", XCEPTION),
        *_pair("plain", PLAIN),
        *_pair("plain-xception", {**PLAIN, **XCEPTION}),
        *(make(run) for run, _ in _OTHERS.values() for make in (system, low_quality)),
    ),
    rows=(
        *(_row(name, run, figures, other=True) for name, (run, figures) in _OTHERS.items()),
        _row("Xception", "plain-xception", (86.86, 89.30, 95.73, 96.30)),
        _row("EfficientNet-B4", "plain", (86.67, 88.20, 96.63, 99.18)),
        _row("MAT (Xception)", "mat-xception", (86.95, 87.26, 96.37, 98.97)),
        _row("MAT (EfficientNet-B4)", "mat", (88.69, 90.40, 97.60, 99.29)),
    ),
)
