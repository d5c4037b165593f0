"""Names of torchvision's DenseNets, in their files' old spelling (``norm.1``) and in the new."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from matnet_jax.pretrained.torch_mat import by_rules, in_our_names
from matnet_jax.pretrained.torch_names import Rule

_LAYER, _OUR_LAYER = r"features\.denseblock(\d)\.denselayer(\d+)", r"features/block_\1/layer_\2"
RULES: tuple[Rule, ...] = (
    (r"features\.conv0", "features/stem/conv"),
    (r"features\.norm0", "features/stem/bn"),
    (rf"{_LAYER}\.norm\.?(\d)", rf"{_OUR_LAYER}_\3/bn"),
    (rf"{_LAYER}\.conv\.?(\d)", rf"{_OUR_LAYER}_\3/conv"),
    (r"features\.transition(\d)\.norm", r"features/transition_\1/half/bn"),
    (r"features\.transition(\d)\.conv", r"features/transition_\1/half/conv"),
    (r"features\.norm5", "features/final_bn"),
    (r"classifier", "head"),
)


def is_densenet(state: Mapping[str, Any]) -> bool:
    """Whether the names are a DenseNet's."""
    return "features.conv0.weight" in state and "features.norm5.weight" in state


def convert(state: Mapping[str, Any]) -> tuple[dict[str, np.ndarray], list[str]]:
    """Arrays by our path, and the keys that no rule knows."""
    return in_our_names(state, by_rules(RULES))
