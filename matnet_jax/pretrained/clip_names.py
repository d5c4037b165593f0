"""Names of networks of clips: SlowFast of Eighteen Years Old, pytorch-i3d, 3D-ResNets, torchvision.

Of two classes, Eighteen Years Old's first is real as ours; The Medics', of all the other networks,
is fake, and is turned round.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from matnet_jax.detectors.clip_classifier import AS_THEY_ARE, CENTERED, IMAGENET, KINETICS
from matnet_jax.pretrained.torch_mat import in_our_names, to_ours
from matnet_jax.pretrained.torch_names import Rule, rename

_ORDER = ("first", "second", "third")


def _conv_norm(conv: str, norm: str, ours: str) -> tuple[Rule, ...]:
    return ((conv, f"{ours}/conv"), (norm, f"{ours}/bn"))


_RES, _OUR_RES = r"(fast|slow)_res(\d)\.(\d+)", r"\1_stage_\2_block_\3"
SLOWFAST: tuple[Rule, ...] = (
    *_conv_norm(r"(fast|slow)_conv1", r"(fast|slow)_bn1", r"\1_stem"),
    *(
        rule
        for i, name in enumerate(_ORDER, start=1)
        for rule in _conv_norm(rf"{_RES}\.conv{i}", rf"{_RES}\.bn{i}", f"{_OUR_RES}/{name}")
    ),
    *_conv_norm(rf"{_RES}\.downsample\.0", rf"{_RES}\.downsample_bn", f"{_OUR_RES}/skip"),
    (r"Tconv(\d)", r"lateral_\1"),
)
I3D: tuple[Rule, ...] = (
    (r"Conv3d_(\d\w)_\dx\d\.conv3d", r"conv_\1/conv"),
    (r"Conv3d_(\d\w)_\dx\d\.bn", r"conv_\1/bn"),
    *(
        rule
        for theirs, ours in (
            ("b0", "branch_0"),
            ("b1a", "branch_1_reduce"),
            ("b1b", "branch_1"),
            ("b2a", "branch_2_reduce"),
            ("b2b", "branch_2"),
            ("b3b", "branch_3"),
        )
        for rule in _conv_norm(
            rf"Mixed_(\d\w)\.{theirs}\.conv3d", rf"Mixed_(\d\w)\.{theirs}\.bn", rf"mixed_\1/{ours}"
        )
    ),
)
_LAYER, _OUR_LAYER = r"layer(\d)\.(\d+)", r"stage_\1_block_\2"


def _each(conv: str, norm: str, ours: str) -> tuple[Rule, ...]:
    """Of both convolutions of a block; {} is the number of theirs."""
    return tuple(
        rule
        for i, name in enumerate(_ORDER[:2], start=1)
        for rule in _conv_norm(
            f"{_LAYER}{conv.format(i)}", f"{_LAYER}{norm.format(i)}", f"{_OUR_LAYER}/{name}/{ours}"
        )
    )


RESNET3D = (*_conv_norm("conv1", "bn1", "stem"), *_each(r"\.conv{}", r"\.bn{}", "whole"))
_SKIP = _conv_norm(rf"{_LAYER}\.downsample\.0", rf"{_LAYER}\.downsample\.1", f"{_OUR_LAYER}/skip")
WHOLE = (
    *_conv_norm(r"stem\.0", r"stem\.1", "stem"),
    *_each(r"\.conv{}\.0", r"\.conv{}\.1", "whole"),
    *_SKIP,
)
FACTORED = (
    *_conv_norm(r"stem\.0", r"stem\.1", "stem_space"),
    *_conv_norm(r"stem\.3", r"stem\.4", "stem_time"),
    *_each(r"\.conv{}\.0\.0", r"\.conv{}\.0\.1", "space"),
    *_each(r"\.conv{}\.0\.3", r"\.conv{}\.1", "time"),
    *_SKIP,
)
Scheme = tuple[str, tuple[Rule, ...], dict[str, Any]]
# A key that tells a network: whose names these are, the rules, and pixels' statistics.
_SCHEMES: dict[str, Scheme] = {
    "Tconv1.weight": ("Eighteen Years Old's SlowFast", SLOWFAST, KINETICS),
    "Mixed_3b.b0.conv3d.weight": ("pytorch-i3d", I3D, CENTERED),
    "layer1.0.conv1.0.3.weight": ("torchvision's R(2+1)D", FACTORED, IMAGENET),
    "layer1.0.conv1.0.weight": ("torchvision's video ResNet", WHOLE, IMAGENET),
    "layer1.0.conv1.weight": ("3D-ResNets", RESNET3D, AS_THEY_ARE),
}


def find_scheme(state: Mapping[str, Any]) -> Scheme | None:
    """Whose names these are; None where they are of no network of clips."""
    for key, scheme in _SCHEMES.items():
        if key in state and np.ndim(state[key]) == 5:
            return scheme
    return None


def classes(state: Mapping[str, Any]) -> int:
    """How many a network of clips tells apart; 0 where it has no last layer."""
    head = state.get("fc.weight", state.get("logits.conv3d.weight"))
    return 0 if head is None else len(head)


def convert(state: Mapping[str, Any], scheme: Scheme) -> tuple[dict[str, np.ndarray], list[str]]:
    """Arrays by our path, and the keys that no rule knows."""
    _, rules, _ = scheme
    turned = rules is not SLOWFAST and classes(state) == 2

    def named(module: str, leaf: str, value: np.ndarray) -> tuple[str, np.ndarray] | None:
        if module in ("fc", "logits.conv3d"):
            value = value.reshape(value.shape[:2]) if leaf == "weight" else value
            return to_ours("head", leaf, value[::-1] if turned else value)
        path = rename(module, rules)
        return to_ours(f"features/{path}", leaf, value) if path else None

    return in_our_names(state, named)
