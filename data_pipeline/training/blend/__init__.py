"""Fakes made of one real image: self-blended images, a pair (real, fake) of each example."""

from __future__ import annotations

from data_pipeline.training.blend.self_blend import SelfBlend

__all__ = ["SelfBlend"]
