"""Names of Inception-v3 as torchvision and timm have it, whose auxiliary head is left out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from matnet_jax.pretrained.torch_mat import to_ours
from matnet_jax.pretrained.torch_names import Rule, rename

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
    arrays: dict[str, np.ndarray] = {}
    unexpected = []
    for key, value in state.items():
        if key.startswith("AuxLogits.") or key.endswith("num_batches_tracked"):
            continue
        module, _, leaf = key.rpartition(".")
        path = rename(module, RULES)
        named = to_ours(path, leaf, np.asarray(value)) if path else None
        if named is None:
            unexpected.append(key)
        else:
            arrays[named[0]] = named[1]
    return arrays, unexpected
