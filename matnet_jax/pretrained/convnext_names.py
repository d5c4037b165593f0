"""Names of ConvNeXt in transformers (`ConvNextModel`) and in timm (`convnext_*`)."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from matnet_jax.pretrained.torch_mat import to_ours
from matnet_jax.pretrained.torch_names import Rule, rename


@dataclasses.dataclass(frozen=True)
class Scheme:
    """One code's names.

    Attributes:
      family: whose they are.
      told_by: keys that all its checkpoints have.
      prefix: that keys may have.
      head: the classifier's module.
      layer_scale: the leaf of a block.
      rules: of the module paths of the backbone.
    """

    family: str
    told_by: tuple[str, ...]
    prefix: str
    head: str
    layer_scale: str
    rules: tuple[Rule, ...]


_HF_BLOCK, _TIMM_BLOCK = r"encoder\.stages\.(\d)\.layers\.(\d+)", r"stages\.(\d)\.blocks\.(\d+)"
_OUR_BLOCK = r"stage_\1_block_\2"

SCHEMES = (
    Scheme(
        family="transformers' ConvNeXt",
        told_by=("embeddings.patch_embeddings.weight", "encoder.stages.0.layers.0.dwconv.weight"),
        prefix="convnext.",
        head="classifier",
        layer_scale="layer_scale_parameter",
        rules=(
            (r"embeddings\.patch_embeddings", "stem_conv"),
            (r"embeddings\.layernorm", "stem_norm"),
            (r"encoder\.stages\.(\d)\.downsampling_layer\.0", r"stage_\1_norm"),
            (r"encoder\.stages\.(\d)\.downsampling_layer\.1", r"stage_\1_conv"),
            (_HF_BLOCK, _OUR_BLOCK),
            (rf"{_HF_BLOCK}\.dwconv", rf"{_OUR_BLOCK}/depthwise_conv"),
            (rf"{_HF_BLOCK}\.layernorm", rf"{_OUR_BLOCK}/norm"),
            (rf"{_HF_BLOCK}\.pwconv1", rf"{_OUR_BLOCK}/expand"),
            (rf"{_HF_BLOCK}\.pwconv2", rf"{_OUR_BLOCK}/project"),
            (r"layernorm", "norm"),
        ),
    ),
    Scheme(
        family="timm's ConvNeXt",
        told_by=("stem.0.weight", "stages.0.blocks.0.conv_dw.weight"),
        prefix="",
        head="head.fc",
        layer_scale="gamma",
        rules=(
            (r"stem\.0", "stem_conv"),
            (r"stem\.1", "stem_norm"),
            (r"stages\.(\d)\.downsample\.0", r"stage_\1_norm"),
            (r"stages\.(\d)\.downsample\.1", r"stage_\1_conv"),
            (_TIMM_BLOCK, _OUR_BLOCK),
            (rf"{_TIMM_BLOCK}\.conv_dw", rf"{_OUR_BLOCK}/depthwise_conv"),
            (rf"{_TIMM_BLOCK}\.norm", rf"{_OUR_BLOCK}/norm"),
            (rf"{_TIMM_BLOCK}\.mlp\.fc1", rf"{_OUR_BLOCK}/expand"),
            (rf"{_TIMM_BLOCK}\.mlp\.fc2", rf"{_OUR_BLOCK}/project"),
            (r"head\.norm", "norm"),
        ),
    ),
)


def find_scheme(state: Mapping[str, Any]) -> Scheme | None:
    """Whose names these are, or None where they are neither's."""
    for scheme in SCHEMES:
        bare = {key.removeprefix(scheme.prefix) for key in state}
        if bare.issuperset(scheme.told_by):
            return scheme
    return None


def convert(state: Mapping[str, Any], scheme: Scheme) -> tuple[dict[str, np.ndarray], list[str]]:
    """Arrays by our path, and the keys that no rule knows."""
    arrays: dict[str, np.ndarray] = {}
    unexpected = []
    for key, value in state.items():
        named = _convert_key(key.removeprefix(scheme.prefix), np.asarray(value), scheme)
        if named is None:
            unexpected.append(key)
        else:
            arrays[named[0]] = named[1]
    return arrays, unexpected


def _convert_key(key: str, value: np.ndarray, scheme: Scheme) -> tuple[str, np.ndarray] | None:
    module, _, leaf = key.rpartition(".")
    if module == scheme.head:
        return to_ours("head", leaf, value)
    path = rename(module, scheme.rules)
    if path is None:
        return None
    if leaf == scheme.layer_scale:
        return f"params/features/{path}/layer_scale", value
    # A block itself has no other leaf.
    return None if "block" in path and "/" not in path else to_ours(f"features/{path}", leaf, value)
