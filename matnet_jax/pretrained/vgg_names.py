"""Names of torchvision's VGG-19, of which only the layers up to the third pooling are taken.

Its file of ImageNet weights is vgg19-dcbb9e9d.pth; the name carries the first digits of its
SHA-256.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from matnet_jax.backbones.vgg import BLOCKS
from matnet_jax.pretrained.torch_mat import in_our_names, to_ours

_NAMES = [f"conv_{i}_{j}" for i, block in enumerate(BLOCKS, 1) for j in range(1, len(block) + 1)]
# Numbers of the convolutions in the Sequential, which counts ReLUs and pools too.
_LAYERS = dict(zip((0, 2, 5, 7, 10, 12, 14, 16), _NAMES, strict=True))
_BEYOND = re.compile(r"(features\.(19|2\d|3\d)|classifier\.\d)\.(weight|bias)")


def is_vgg19(state: Mapping[str, Any]) -> bool:
    """Whether the names are VGG-19's: VGG-16 has a pooling where its eighth convolution is."""
    return all(f"features.{number}.weight" in state for number in _LAYERS)


def convert(state: Mapping[str, Any]) -> tuple[dict[str, np.ndarray], list[str]]:
    """Arrays by our path, and the keys that are not VGG-19's."""
    return in_our_names(state, _named, passed_over=lambda key: bool(_BEYOND.fullmatch(key)))


def _named(module: str, leaf: str, value: np.ndarray) -> tuple[str, np.ndarray] | None:
    match = re.fullmatch(r"features\.(\d+)", module)
    layer = _LAYERS.get(int(match[1])) if match else None
    return to_ours(f"features/{layer}", leaf, value) if layer else None
