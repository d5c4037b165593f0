"""Names of the files of the winners of the Deepfake Detection Challenge.

One logit z of theirs is two of ours, 0 and z: P(fake) is the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from matnet_jax.pretrained import timm_names

_SELIM = "encoder."


def two_logits(weight: np.ndarray, bias: np.ndarray) -> dict[str, np.ndarray]:
    """The head of one logit, [1, C] and [1], as ours of two."""
    return {
        "params/head/kernel": np.concatenate([np.zeros_like(weight), weight]).T,
        "params/head/bias": np.concatenate([np.zeros_like(bias), bias]),
    }


def is_selim(state: Mapping[str, Any]) -> bool:
    """Whether it is a checkpoint of Selim Seferbekov's."""
    return f"{_SELIM}conv_stem.weight" in state and "fc.weight" in state


def convert_selim(state: Mapping[str, Any]) -> tuple[dict[str, np.ndarray], list[str]]:
    """Arrays by our path, and the keys that no rule knows.

    The encoder's own classifier, of ImageNet, is left out: nothing runs it.
    """
    inner = {
        key.removeprefix(_SELIM): value
        for key, value in state.items()
        if key.startswith(_SELIM) and not key.startswith(f"{_SELIM}classifier.")
    }
    arrays, unexpected = timm_names.convert(inner)
    arrays |= two_logits(np.asarray(state["fc.weight"]), np.asarray(state["fc.bias"]))
    unexpected = [f"{_SELIM}{key}" for key in unexpected]
    return arrays, unexpected + [key for key in state if not key.startswith((_SELIM, "fc."))]
