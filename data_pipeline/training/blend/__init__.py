"""Fakes made of real images: a pair (real, fake) of each example, by one of several kinds."""

from __future__ import annotations

from data_pipeline.training.blend.base import PairOp, option_names
from data_pipeline.training.blend.pairs import Pairs
from data_pipeline.training.blend.self_blend import SelfBlend
from data_pipeline.training.blend.source import BlendedSource

PAIRS: dict[str, type] = {"self_blended": SelfBlend}
"""What makes pairs, by the kind's name in a config."""

__all__ = ["PAIRS", "BlendedSource", "PairOp", "Pairs", "SelfBlend", "option_names"]
