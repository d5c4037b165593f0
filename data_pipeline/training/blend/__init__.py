"""Fakes made of real images: a pair (real, fake) of each example, by one of several kinds."""

from __future__ import annotations

from data_pipeline.training.blend.base import PairOp, option_names
from data_pipeline.training.blend.breadth import Breadth
from data_pipeline.training.blend.degrade import Degrade
from data_pipeline.training.blend.face_warping import FWA
from data_pipeline.training.blend.face_xray import FaceXray
from data_pipeline.training.blend.pairs import Pairs
from data_pipeline.training.blend.self_blend import SelfBlend
from data_pipeline.training.blend.source import BlendedSource

PAIRS: dict[str, type] = {"self_blended": SelfBlend, "face_xray": FaceXray, "fwa": FWA}
"""What makes pairs, by the kind's name in a config."""

CHANGES: dict[str, type] = {"breadth": Breadth, "degrade": Degrade}
"""What changes both of a pair alike, whatever its kind, by its name in a config."""

__all__ = [
    "CHANGES",
    "FWA",
    "PAIRS",
    "BlendedSource",
    "Breadth",
    "Degrade",
    "FaceXray",
    "PairOp",
    "Pairs",
    "SelfBlend",
    "option_names",
]
