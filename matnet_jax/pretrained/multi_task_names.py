"""Names of the authors' Multi-task files: an encoder's, and a decoder's with its two branches."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from matnet_jax.pretrained.torch_mat import in_our_names, to_ours

# Their Sequential's name -> our module.
_PARTS = {
    "encoder": "encoder",
    "shared": "shared",
    "segmenter": "segmenter",
    "decoder": "reconstructor",
}
_KINDS = ("conv", "bn", "relu")  # in a Sequential, one after the other


def part(state: Mapping[str, Any]) -> str | None:
    """Which of the two files it is, encoder or decoder; None where it is neither."""
    if "encoder.24.weight" in state:
        return "encoder"
    return "decoder" if {"shared.0.weight", "segmenter.12.weight"} <= state.keys() else None


def convert(state: Mapping[str, Any]) -> tuple[dict[str, np.ndarray], list[str]]:
    """Arrays by our path, and the keys that no rule knows."""
    return in_our_names(state, _named)


def _named(module: str, leaf: str, value: np.ndarray) -> tuple[str, np.ndarray] | None:
    match = re.fullmatch(rf"({'|'.join(_PARTS)})\.(\d+)", module)
    if match is None:
        return None
    layer, kind = divmod(int(match[2]), len(_KINDS))
    if value.ndim == 4 and match[1] != "encoder":
        # A transposed kernel [in, out, k, k], turned: a convolution's [out, in, k, k].
        value = value.transpose(1, 0, 2, 3)[:, :, ::-1, ::-1]
    return to_ours(f"{_PARTS[match[1]]}/{_KINDS[kind]}_{layer}", leaf, value)
