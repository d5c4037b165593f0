"""Names of timm's EfficientNets (`tf_efficientnet_b*`), whose blocks are numbered by stage."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from matnet_jax.pretrained.torch_mat import in_our_names, to_ours

_OUTER = {
    "conv_stem": "features/stem_conv",
    "bn1": "features/stem_bn",
    "conv_head": "features/head_conv",
    "bn2": "features/head_bn",
    "classifier": "head",
}
_SQUEEZE = {"se.conv_reduce": "se/reduce", "se.conv_expand": "se/expand"}
_SEPARABLE = {  # the first stage's blocks, which do not expand
    "conv_dw": "depthwise_conv",
    "bn1": "depthwise_bn",
    "conv_pw": "project_conv",
    "bn2": "project_bn",
} | _SQUEEZE
_INVERTED = {
    "conv_pw": "expand_conv",
    "bn1": "expand_bn",
    "conv_dw": "depthwise_conv",
    "bn2": "depthwise_bn",
    "conv_pwl": "project_conv",
    "bn3": "project_bn",
} | _SQUEEZE


def convert(state: Mapping[str, Any]) -> tuple[dict[str, np.ndarray], list[str]]:
    """Arrays by our path, and the keys that no rule knows."""
    inverted = {key.removesuffix(".conv_pwl.weight") for key in state if ".conv_pwl." in key}
    numbers = _block_numbers(state)

    def named(module: str, leaf: str, value: np.ndarray) -> tuple[str, np.ndarray] | None:
        path = _OUTER.get(module)
        block = re.fullmatch(r"(blocks\.\d+\.\d+)\.(.+)", module)
        if block:
            part = (_INVERTED if block[1] in inverted else _SEPARABLE).get(block[2])
            path = f"features/block_{numbers[block[1]]}/{part}" if part else None
        return to_ours(path, leaf, value) if path else None

    return in_our_names(state, named)


def _block_numbers(state: Mapping[str, Any]) -> dict[str, int]:
    """Name such as "blocks.S.R" -> the block's number in the whole network."""
    found = {
        tuple(map(int, m.groups()))
        for m in map(re.compile(r"blocks\.(\d+)\.(\d+)\.").match, state)
        if m
    }
    return {f"blocks.{s}.{r}": number for number, (s, r) in enumerate(sorted(found))}
