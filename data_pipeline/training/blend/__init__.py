"""Fakes made of real images: a pair (real, fake) of each example, by one of several kinds."""

from __future__ import annotations

from data_pipeline.training.blend.self_blend import SelfBlend

PAIRS: dict[str, type[SelfBlend]] = {"self_blended": SelfBlend}
"""What makes pairs, by the kind's name in a config."""

__all__ = ["PAIRS", "SelfBlend"]
