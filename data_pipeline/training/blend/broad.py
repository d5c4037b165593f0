"""Options with which a training on portraits is to hold on swappers that it never saw."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from data_pipeline.training.blend import CHANGES, PAIRS, PairOp
from data_pipeline.training.blend.regions import WHOLE

_MARGIN = (0.0, 0.3)

BROAD: Mapping[str, Mapping[str, Any]] = {
    "self_blended": {
        "margin": _MARGIN,
        "regions": (*WHOLE, "eyes", "mouth"),
        "limited": 0.5,
    },
    "face_xray": {
        "margin": _MARGIN,
        "regions": ("hull", "hull", "inner", "eyes", "mouth"),  # half of the time the face
        "by_landmarks": 0.5,
        "poisson": 0.4,
        "limited": 0.5,
    },
    "fwa": {"margin": _MARGIN},
    "breadth": {
        "background": 0.2,
        "occluders": 0.2,
        "lighting": 0.3,
        "gamma": 0.2,
        "rotation": 0.3,
    },
    # About one pair in nine goes through none of these.
    "degrade": {
        "white_balance": 0.2,
        "blur": 0.2,
        "motion": 0.05,
        "noise": 0.15,
        "shot": 0.15,
        "grey": 0.05,
        "jpeg": 0.3,
        "rescale": 0.3,
        "rescale_to": (0.35, 0.95),
        "h264": 0.25,
        "jpeg_again": 0.3,
    },
}
"""By the section of a config: values of its fields. A judgement, not the result of a search."""

CAMERA = ("white_balance", "blur", "motion", "noise", "shot", "grey")
"""Those of `degrade` that a camera leaves; the others are of files that were stored and sent on."""


def broad_op(kind: str, **fields: Any) -> PairOp:
    """What makes pairs of a kind with the options of `BROAD`.

    Args:
      kind: of `PAIRS`.
      **fields: other values of its fields.
    """
    changes = {name: made(**BROAD[name]) for name, made in CHANGES.items()}
    op: PairOp = PAIRS[kind](**{**BROAD[kind], **changes, **fields})
    return op
