"""Names of Inception-v3 as torchvision and timm have it, whose auxiliary head is left out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from matnet_jax.pretrained.torch_mat import by_rules, in_our_names, is_counter
from matnet_jax.pretrained.torch_names import Rule

RULES: tuple[Rule, ...] = (
    (r"Conv2d_(\w+)\.(conv|bn)", r"features/conv2d_\1/\2"),
    (r"Mixed_(\w+)\.(branch\w+)\.(conv|bn)", r"features/mixed_\1/\2/\3"),
    (r"fc", "head"),
)


def is_inception(state: Mapping[str, Any]) -> bool:
    """Whether the names are Inception-v3's."""
    return "Mixed_7c.branch3x3dbl_3b.conv.weight" in state


def convert(state: Mapping[str, Any]) -> tuple[dict[str, np.ndarray], list[str]]:
    """Arrays by our path, and the keys that no rule knows."""
    return in_our_names(state, by_rules(RULES), passed_over=_is_left_out)


def _is_left_out(key: str) -> bool:
    return key.startswith("AuxLogits.") or is_counter(key)
