"""Names of CLIP's image towers and of DINOv2: transformers', open_clip's, the authors', timm's."""

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
      is_clip: of CLIP rather than DINOv2.
      told_by: keys that all its checkpoints have.
      prefixes: that keys may have, the longest first; where one has, keys without it are of parts
        that are not the image's tower.
      leaves: key -> our array without a module of its own.
      rules: of the other keys' modules.
      passed_over: first parts of keys that no image's features need.
    """

    family: str
    is_clip: bool
    told_by: tuple[str, ...]
    prefixes: tuple[str, ...]
    leaves: Mapping[str, str]
    rules: tuple[Rule, ...]
    passed_over: tuple[str, ...] = ()


_CLASS, _POSITIONS, _REGISTERS = "class_embedding", "position_embedding", "register_tokens"
_FUSED = "attention/query_key_value"


def _block(theirs: str, names: Mapping[str, str]) -> tuple[Rule, ...]:
    """Rules of a block's modules by their name and ours."""
    return tuple((rf"{theirs}\.(\d+)\.{name}", rf"block_\1/{ours}") for name, ours in names.items())


_MLP = {r"mlp\.fc1": "expand", r"mlp\.fc2": "project"}
_TIMM_BLOCK = _block(
    "blocks",
    {
        r"norm([12])": r"norm_\2",
        r"attn\.qkv": _FUSED,
        r"attn\.proj": "attention/out",
        r"ls([12])": r"layer_scale_\2",
    }
    | _MLP,
)
_TIMM_OUTER: tuple[Rule, ...] = (
    (r"patch_embed\.proj", "patch_conv"),
    ("norm_pre", "norm_first"),
    ("norm", "norm_last"),
)
_TIMM_LEAVES = {"cls_token": _CLASS, "pos_embed": _POSITIONS}

SCHEMES = (
    Scheme(
        family="transformers' CLIP",
        is_clip=True,
        told_by=("pre_layrnorm.weight", "encoder.layers.0.self_attn.q_proj.weight"),
        prefixes=("vision_model.",),
        leaves={
            "embeddings.class_embedding": _CLASS,
            "embeddings.position_embedding.weight": _POSITIONS,
        },
        rules=(
            (r"embeddings\.patch_embedding", "patch_conv"),
            ("pre_layrnorm", "norm_first"),
            ("post_layernorm", "norm_last"),
            *_block(
                r"encoder\.layers",
                {
                    r"layer_norm([12])": r"norm_\2",
                    r"self_attn\.q_proj": "attention/query",
                    r"self_attn\.k_proj": "attention/key",
                    r"self_attn\.v_proj": "attention/value",
                    r"self_attn\.out_proj": "attention/out",
                }
                | _MLP,
            ),
        ),
        passed_over=("embeddings.position_ids",),
    ),
    Scheme(
        family="open_clip's CLIP",
        is_clip=True,
        told_by=("ln_pre.weight", "transformer.resblocks.0.attn.in_proj_weight"),
        prefixes=("visual.",),
        leaves={"class_embedding": _CLASS, "positional_embedding": _POSITIONS},
        rules=(
            ("conv1", "patch_conv"),
            ("ln_pre", "norm_first"),
            ("ln_post", "norm_last"),
            *_block(
                r"transformer\.resblocks",
                {
                    r"ln_([12])": r"norm_\2",
                    r"attn\.in_proj": _FUSED,
                    r"attn\.out_proj": "attention/out",
                    r"mlp\.c_fc": "expand",
                    r"mlp\.c_proj": "project",
                },
            ),
        ),
        passed_over=("proj",),
    ),
    Scheme(
        family="transformers' DINOv2",
        is_clip=False,
        told_by=("embeddings.cls_token", "encoder.layer.0.layer_scale1.lambda1"),
        prefixes=("dinov2_with_registers.", "dinov2."),
        leaves={
            "embeddings.cls_token": _CLASS,
            "embeddings.position_embeddings": _POSITIONS,
            "embeddings.register_tokens": _REGISTERS,
        },
        rules=(
            (r"embeddings\.patch_embeddings\.projection", "patch_conv"),
            ("layernorm", "norm_last"),
            *_block(
                r"encoder\.layer",
                {
                    r"norm([12])": r"norm_\2",
                    r"attention\.attention\.(query|key|value)": r"attention/\2",
                    r"attention\.output\.dense": "attention/out",
                    # As version 5 names them in memory.
                    r"attention\.q_proj": "attention/query",
                    r"attention\.k_proj": "attention/key",
                    r"attention\.v_proj": "attention/value",
                    r"attention\.o_proj": "attention/out",
                    r"layer_scale([12])": r"layer_scale_\2",
                }
                | _MLP,
            ),
        ),
        passed_over=("embeddings.mask_token",),
    ),
    Scheme(
        family="DINOv2",
        is_clip=False,
        told_by=("cls_token", "patch_embed.proj.weight", "blocks.0.ls1.gamma"),
        prefixes=(),
        leaves=_TIMM_LEAVES | {"register_tokens": _REGISTERS, "reg_token": _REGISTERS},
        rules=(*_TIMM_OUTER, *_TIMM_BLOCK),
        passed_over=("mask_token",),
    ),
    Scheme(
        family="timm's CLIP",
        is_clip=True,
        told_by=("cls_token", "norm_pre.weight", "blocks.0.attn.qkv.weight"),
        prefixes=(),
        leaves=_TIMM_LEAVES,
        rules=(*_TIMM_OUTER, *_TIMM_BLOCK),
        passed_over=("head",),
    ),
)


def find_scheme(state: Mapping[str, Any]) -> Scheme | None:
    """Whose names these are, or None where they are no one's here."""
    for scheme in SCHEMES:
        if _tower(state, scheme).keys() >= set(scheme.told_by):
            return scheme
    return None


def _tower(state: Mapping[str, Any], scheme: Scheme) -> dict[str, Any]:
    """The arrays of the image's tower by key without prefix."""
    for prefix in scheme.prefixes:
        if f"{prefix}{scheme.told_by[0]}" in state:
            inside = (key for key in state if key.startswith(prefix))
            return {key.removeprefix(prefix): state[key] for key in inside}
    return dict(state)


def convert(state: Mapping[str, Any], scheme: Scheme) -> tuple[dict[str, np.ndarray], list[str]]:
    """Arrays by our path, and the keys of the image's tower that no rule knows."""
    arrays: dict[str, np.ndarray] = {}
    unexpected = []
    for key, value in _tower(state, scheme).items():
        if any(key == name or key.startswith(f"{name}.") for name in scheme.passed_over):
            continue
        named = _convert_key(key, np.asarray(value), scheme)
        if named is None:
            unexpected.append(key)
        else:
            arrays |= named
    if "reg_token" in state:
        # With timm the class's token has no position where there are registers.
        path = f"params/features/{_POSITIONS}"
        arrays[path] = np.pad(arrays[path], ((1, 0), (0, 0)))
    return arrays, unexpected


def _convert_key(key: str, value: np.ndarray, scheme: Scheme) -> dict[str, np.ndarray] | None:
    if key in scheme.leaves:
        leaf = scheme.leaves[key]
        shape = (-1,) if leaf == _CLASS else (-1, value.shape[-1])
        return {f"params/features/{leaf}": value.reshape(shape)}
    module, _, leaf = key.replace("in_proj_", "in_proj.").rpartition(".")
    path = rename(module, scheme.rules)
    if path is None:
        return None
    if "layer_scale" in path:
        return {f"params/features/{path}": value} if leaf in ("gamma", "lambda1") else None
    paths = [path]
    if path.endswith(_FUSED):
        paths = [path.replace(_FUSED, f"attention/{part}") for part in ("query", "key", "value")]
    parts = np.split(value, len(paths))
    named = [to_ours(f"features/{p}", leaf, v) for p, v in zip(paths, parts, strict=True)]
    return {pair[0]: pair[1] for pair in named if pair} or None
