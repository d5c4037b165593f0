"""The networks that the paper's tables compare, and the data sets they need.

Runs of one name are one run: the tables share the full network, which is in five of them. All keep
the base config's backbone (``configs/ffpp.py``: EfficientNet-B4) unless they name another.
"""

from __future__ import annotations

from typing import Any

from matnet_jax.sweep import Run

# Folders of records below --records; docs/sweeps.md has the commands that make them.
FFPP, FFPP_C40, CELEB_DF, DFDC = "ffpp-c23", "ffpp-c40", "celeb-df", "dfdc"

NO_SECOND_PASS = {"agda.mode": "none"}
# "For single attentional model, we do not use" either of them: section 4.4.1.
ONE_MAP = {"model.num_attentions": 1, "losses.auxiliary": "none", **NO_SECOND_PASS}
PLAIN = {"model.name": "classifier"}
XCEPTION = {
    "model.backbone": "xception",
    "model.width_coefficient": None,
    "model.depth_coefficient": None,
}


def mat(name: str = "mat", data: str = FFPP, start: str | None = None, **changes: Any) -> Run:
    """The full network of the paper with the given changes; dots are written as two underlines."""
    fields = {field.replace("__", "."): value for field, value in changes.items()}
    return Run(name, data, fields, starts_from=start)


MAT = mat()
MAT_C40 = mat("mat-c40", FFPP_C40, "mat")
