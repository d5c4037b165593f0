"""Layer names of the authors' MesoNet files, which Keras numbered as the layers were made.

Numbering goes on over the networks of one session, so Meso4's convolutions are 5 to 8 in the
authors' files: a layer is known by its kind and its rank among those.
"""

from __future__ import annotations

import re

import numpy as np

from matnet_jax.pretrained.keras_files import KerasWeights
from matnet_jax.pretrained.keras_names import to_ours

_KINDS = ("conv2d", "batch_normalization", "dense")
_MESO4 = ("conv_1", "conv_2", "conv_3", "conv_4")
_BRANCHES = ("a1", "b1", "b2", "c1", "c2", "d1", "d2")
_MESOINCEPTION4 = (
    *(
        f"inception_{i}_{part}"
        for i in (1, 2)
        for part in ("a1", "b1", "b2", "c1", "c2", "d1", "d2")
    ),
    "conv_3",
    "conv_4",
)
_NORMS, _DENSES = tuple(f"bn_{i}" for i in (1, 2, 3, 4)), ("dense", "logit")


def name(weights: KerasWeights) -> str | None:
    """Meso4 or MesoInception4, whichever has these layers; None where neither has."""
    ranked = _ranked(weights)
    if sum(map(len, ranked.values())) != len(weights.layers):
        return None
    convolutions, *others = (len(ranked[kind]) for kind in _KINDS)
    known = {len(_MESO4): "Meso4", len(_MESOINCEPTION4): "MesoInception4"}
    return known.get(convolutions) if others == [len(_NORMS), len(_DENSES)] else None


def convert(weights: KerasWeights) -> dict[str, np.ndarray]:
    """Arrays by our path; `name` has to know the layers."""
    ranked = _ranked(weights)
    convolutions = _MESO4 if name(weights) == "Meso4" else _MESOINCEPTION4
    arrays: dict[str, np.ndarray] = {}
    for kind, paths in zip(_KINDS, (convolutions, _NORMS, _DENSES), strict=True):
        for layer, path in zip(ranked[kind], paths, strict=True):
            arrays |= to_ours(path, weights.layers[layer])
    return arrays


def _ranked(weights: KerasWeights) -> dict[str, list[str]]:
    """Names of layers by kind, in the order of their numbers; the first may have none."""
    ranked: dict[str, list[tuple[int, str]]] = {kind: [] for kind in _KINDS}
    for layer in weights.layers:
        match = re.fullmatch(r"(\w+?)(?:_(\d+))?", layer)
        if match and match[1] in ranked:
            ranked[match[1]].append((int(match[2] or 0), layer))
    return {kind: [layer for _, layer in sorted(found)] for kind, found in ranked.items()}
