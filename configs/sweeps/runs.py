"""The networks that the paper's tables compare, and the data sets they need.

Runs of one name are one run: the tables share the full network, which is in five of them. All keep
the base config's backbone (``configs/ffpp.py``: EfficientNet-B4) unless they name another; other
systems have configs of their own (``configs/systems``).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from configs.sweeps.small import small
from matnet_jax.evaluation.ensemble.definition import Ensemble, load_ensemble
from matnet_jax.sweep import Blended, Fitted, Run

# Folders of records below --records; docs/sweeps.md has the commands that make them.
FFPP, FFPP_C40, CELEB_DF, DFDC = "ffpp-c23", "ffpp-c40", "celeb-df", "dfdc"
FFPP_RAW = "ffpp-raw"

NO_SECOND_PASS = {"agda.mode": "none"}
# "For single attentional model, we do not use" either of them: section 4.4.1.
ONE_MAP = {"model.num_attentions": 1, "losses.auxiliary": "none", **NO_SECOND_PASS}
PLAIN = {"model.name": "classifier"}
XCEPTION = {
    "model.backbone": "xception",
    "model.width_coefficient": None,
    "model.depth_coefficient": None,
}

SYSTEMS: dict[str, str] = {
    "steg_features": "Steg. Features",
    "ld_cnn": "LD-CNN",
    "meso4": "Meso4",
    "mesoinception4": "MesoInception4",
    "face_xray": "Face X-ray",
    "xception_ela": "Xception-ELA",
    "xception_pafilters": "Xception-PAFilters",
    "f3net": "F3-Net",
    "two_branch": "Two Branch",
    "two_stream": "Two-stream",
    "fwa": "FWA",
    "dsp_fwa": "DSP-FWA",
    "multi_task": "Multi-task",
    "capsule_v1": "Capsule-Forensics",
    "capsule_v2": "Capsule-Forensics v2",
    "selim_b7": "Selim Seferbekov, B7",
    "wm_xception": "WM, Xception",
    "wsdan": "WM, WS-DAN",
    "ntechlab": "NTechLab",
    "eighteen_years_old": "Eighteen Years Old, SlowFast",
    "medics": "The Medics, I3D",
}
"""Titles by name of the config in ``configs/systems``, and of the run."""


def mat(name: str = "mat", data: str = FFPP, start: str | None = None, **changes: Any) -> Run:
    """The full network of the paper with the given changes; dots are written as two underlines."""
    fields = {field.replace("__", "."): value for field, value in changes.items()}
    return Run(name, data, fields, starts_from=start)


def system(
    config: str, data: str = FFPP, *, name: str = "", start: str | None = None, **fields: Any
) -> Run:
    """A network by a config of `configs/systems`, called as that is unless it has a name."""
    kind = Fitted if config == "steg_features" else Run
    if config == "ld_cnn" and start is None:
        start, fields = "steg_features", {"init.prefixes": ("head",), **fields}  # its line
    return kind(
        name or config, data, fields, start, config=f"systems/{config}", small=small(config)
    )


def low_quality(config: str) -> Run:
    """The system on FaceForensics++ c40, from its own weights of c23 where it learns by steps."""
    start = None if config == "steg_features" else config
    return system(config, FFPP_C40, name=f"{config}-c40", start=start)


def winner(name: str) -> tuple[Run, ...]:
    """The ensemble of a winner of the DFDC, after the runs of its members, on the DFDC."""
    ensemble = load_ensemble(name)
    return (*_members(name, ensemble), Blended(name, DFDC, ensemble=ensemble))


def _members(name: str, ensemble: Ensemble) -> Iterator[Run]:
    configs = [member.config for member in ensemble.members]
    for number, member in enumerate(ensemble.members):
        # Members of one config are told apart by their seeds; others keep their config's.
        fields = {"seed": number} if configs.count(member.config) > 1 else {}
        start = f"{name}/{member.starts_from}" if member.starts_from else None
        yield system(member.config, DFDC, name=f"{name}/{member.name}", start=start, **fields)


MAT = mat()
MAT_C40 = mat("mat-c40", FFPP_C40, "mat")
