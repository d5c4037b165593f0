"""Names of the authors' Capsule-Forensics files, of both versions: the head alone."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from matnet_jax.pretrained.torch_mat import to_ours

_ROUTES = "routing_stats.route_weights"
_CAPSULE = re.compile(r"fea_ext\.(?:ext_|capsules\.)(\d+)\.(\d+)\.(\w+)")
# Their Sequential's number -> our layer of all capsules.
_LAYERS = {0: "conv_1", 1: "bn_1", 3: "conv_2", 4: "bn_2", 7: "conv_3", 8: "bn_3"}
_LAYERS |= {9: "conv_4", 10: "bn_4"}


def version(state: Mapping[str, Any]) -> int | None:
    """1 or 2; None where the names are of neither."""
    if _ROUTES not in state:
        return None
    return 1 if any(key.startswith("fea_ext.ext_1.") for key in state) else 2


def convert(state: Mapping[str, Any]) -> tuple[dict[str, np.ndarray], list[str]]:
    """Arrays by our path, and the keys that no rule knows.

    Version 1's first class is fake, ours and version 2's is real.
    """
    unexpected = []
    capsules: dict[str, dict[int, np.ndarray]] = {}  # our path -> array by capsule
    for key, value in state.items():
        if key.endswith("num_batches_tracked") or key == _ROUTES:
            continue
        match = _CAPSULE.fullmatch(key)
        layer = _LAYERS.get(int(match[2])) if match else None
        named = _to_ours(layer, match[3], np.asarray(value)) if match and layer else None
        if match is None or named is None:
            unexpected.append(key)
        else:
            capsules.setdefault(named[0], {})[int(match[1])] = named[1]
    arrays = {path: _side_by_side(path, parts) for path, parts in capsules.items()}
    routes = np.asarray(state[_ROUTES])
    arrays["params/head/routes"] = routes[::-1] if version(state) == 1 else routes
    return arrays, unexpected


def _to_ours(layer: str, leaf: str, value: np.ndarray) -> tuple[str, np.ndarray] | None:
    """One capsule's array; [O, I, n] of a convolution along a line becomes [n, I, O]."""
    if layer in ("conv_3", "conv_4"):
        if leaf not in ("weight", "bias"):
            return None
        name = "kernel" if leaf == "weight" else "bias"
        return f"params/head/primary/{layer}_{name}", value.T
    return to_ours(f"head/primary/{layer}", leaf, value)


def _side_by_side(path: str, parts: Mapping[int, np.ndarray]) -> np.ndarray:
    ordered = [parts[capsule] for capsule in sorted(parts)]
    return (
        np.stack(ordered) if "conv_3_" in path or "conv_4_" in path else np.concatenate(ordered, -1)
    )
