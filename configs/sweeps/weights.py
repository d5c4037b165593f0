"""The weights that ship: three finalists of three seeds, and what each part of training gives.

All figures are of the people to choose by. configs/sweeps/weights_gate.py scores the others. There
are no AUCs: all swaps are of one group of people, and some photos of another, so that whatever
tells the groups apart would count. `matnet gate calibrate` has them within the group.
"""

from __future__ import annotations

from typing import Any

from data_pipeline.training.blend.broad import BROAD, CAMERA
from data_pipeline.training.blend.regions import WHOLE
from matnet_jax.sweep import Cell, Row, Run, Sweep

# Folders that `python -m data_pipeline.benchmark` makes.
PORTRAITS, CHOOSE, GATE = "portraits", "choose", "gate"
SEEDS = (0, 1, 2)
MAT = {"model.name": "mat"}
# Against networks that take any soft face for a fake, as small photos have them.
SMALL = {"degrade.small": 0.5}
SOFT = SMALL | {"degrade.rescale": 0.7, "degrade.rescale_to": (0.15, 0.95)}
SHORT = {"train.duration": "300 steps", "optimizer.warmup": "20 steps"}
HALF = {"train.duration": "905 steps", "optimizer.warmup": "45 steps"}

FINALISTS: dict[str, tuple[str, dict[str, Any]]] = {
    "half": ("plain head", {}),
    "half-mat": ("MAT head", MAT),
    "soft": ("plain head, small files, most of them shrunk twice", SOFT),
}
_OFF = {
    section: {
        f"{section}.{field}": 0.0 for field, value in BROAD[section].items() if type(value) is float
    }
    for section in ("degrade", "breadth")
}
_CAMERA = {f"degrade.{field}": BROAD["degrade"][field] for field in CAMERA}
_MADE = ("self_blended", "face_xray")

# Each against `short`, at its length and seed. What is left out or put in the place of the default.
ABLATIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "short": ("plain head, all of it", {}),
    "short-mat": ("MAT head, all of it", MAT),
    "short-own": ("one's own face alone", {"data.mixture": ("self_blended=1",)}),
    "short-others": ("another's face alone", {"data.mixture": ("face_xray=1",)}),
    "short-sharp": (
        "no faces of limited resolution",
        {f"{kind}.limited": 0.0 for kind in _MADE},
    ),
    "short-whole": (
        "whole faces, no eyes or mouths alone",
        {"self_blended.regions": WHOLE, "face_xray.regions": ("hull", "inner")},
    ),
    "short-margin": (
        "crops of one size, neither tight nor loose",
        {f"{kind}.margin": (0.125, 0.125) for kind in _MADE},
    ),
    "short-unmatched": ("colours matched in CIELAB alone", {"face_xray.colours": ("lab",)}),
    "short-stiff": ("faces not bent to landmarks", {"face_xray.by_landmarks": 0.0}),
    "short-alpha": ("no Poisson blending", {"face_xray.poisson": 0.0}),
    "short-camera": ("with noise, blur and colours of cameras on both", _CAMERA),
    "short-clean": ("no compression and no rescaling on both", _OFF["degrade"]),
    "short-narrow": ("no light, ground, occluders, rotation on both", _OFF["breadth"]),
    "short-bare": ("neither of the last two", _OFF["degrade"] | _OFF["breadth"]),
    "short-sam": ("SAM", {"optimizer.sam_rho": 0.05}),
}


# All others by what they are. The finalists are of half the config's own length.
LONG: dict[str, Run] = {
    "905 steps: plain head, with cameras": Run("camera-0", PORTRAITS, HALF | _CAMERA | {"seed": 0}),
    "905 steps: plain head, with small files": Run(
        "small-0", PORTRAITS, HALF | SMALL | {"seed": 0}
    ),
    "1,800 steps: plain head": Run("lite0-0", PORTRAITS, {"seed": 0}),
    **{
        f"905 steps: {title}, seed {seed}": Run(
            f"{name}-{seed}", PORTRAITS, HALF | changes | {"seed": seed}
        )
        for name, (title, changes) in FINALISTS.items()
        for seed in SEEDS
    },
}


_SUBSETS = {
    "Poisson": "poisson/png_crf23",
    "paste": "paste/png_crf23",
    "splice": "splice/png_crf23",
    "Poisson, 64 px": "poisson_64px/png_crf23",
    "Poisson, CRF 40": "poisson/png_crf40",
}


def _cells(run: str) -> tuple[Cell, ...]:
    kinds = [f"by_subset.{subset}.video.tpr_at_fpr_1" for subset in _SUBSETS.values()]
    metrics = ("video.tpr_at_fpr_1", *kinds)
    return tuple(Cell(None, run, CHOOSE, metric) for metric in metrics)


SWEEP = Sweep(
    title="Swaps between people to choose by, found at 1 % false alarms on photos of all people",
    columns=("all", *_SUBSETS),
    runs=(
        *(Run(name, PORTRAITS, SHORT | changes) for name, (_, changes) in ABLATIONS.items()),
        *LONG.values(),
    ),
    rows=(
        *(Row(f"300 steps: {title}", _cells(name)) for name, (title, _) in ABLATIONS.items()),
        *(Row(title, _cells(run.name)) for title, run in LONG.items()),
    ),
    note="In brackets: 95 % intervals of a bootstrap over photos with the fakes made of them.",
)
