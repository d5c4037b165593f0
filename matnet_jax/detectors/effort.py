"""Effort: of a transformer's attention only the smallest singular triplet of each layer trains.

Yan et al., "Orthogonal subspace decomposition for generalizable AI-generated image detection", ICML
2025, arXiv:2411.15633. What a kernel knows is in its large singular values, which stay; what is
learned of forgeries is kept to the rest.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import numpy as np
from flax import traverse_util

from matnet_jax.detectors.base import Family
from matnet_jax.detectors.class_token import ClassTokenDetector, check_transformer
from matnet_jax.detectors.classifier import CrossEntropy
from matnet_jax.detectors.fields import NOT_NEGATIVE
from matnet_jax.nn.singular import GIVEN, RESIDUAL, merge, triplets

TRAINED = ("features/*/residual_*",)
"""Of the backbone: the triplets, see `optimizer.unfreeze`."""
PAPER: dict[str, dict[str, Any]] = {
    "data": {"balance": "batch", "real_repeat": 1, "frames_per_video": 8},
    "train": {"batch_size": 32, "duration": "10 epochs"},
    "optimizer": {
        "name": "adam",
        "learning_rate": 2e-4,
        "weight_decay": 5e-4,
        "freeze": ("features",),
        "unfreeze": TRAINED,
    },
}
"""The recipe, by section of the config."""
_ATTENTION = "/attention/"


class Effort(ClassTokenDetector):
    """A dense layer on the class's token, and triplets of the attention's layers of their own.

    Attributes:
      rank: singular triplets of each query, key, value and output layer that are parameters of
        their own; 0: none, as `merged` leaves a network.
    """

    rank: Annotated[int, NOT_NEGATIVE] = 1

    @property
    def description(self) -> str:
        """What it is, in a few words, for messages."""
        return f"Effort on {self.backbone} (rank {self.rank})"

    def make_backbone(self) -> Any:
        """See `BackboneDetector.make_backbone`."""
        # Only a transformer has the field; `check_transformer` says so of others.
        backbone = super().make_backbone()
        return backbone.clone(rank=self.rank) if hasattr(backbone, "rank") else backbone

    def adopt(self, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """See `Detector.adopt`: beside the attention's kernels stand their smallest triplets."""
        adopted = dict(arrays)
        if not self.rank:
            return adopted
        for path, array in arrays.items():
            layer, _, leaf = path.rpartition("/")
            if _ATTENTION in path and leaf == "kernel" and f"{layer}/{RESIDUAL[0]}" not in arrays:
                beside = triplets(array, self.rank)
                adopted |= {f"{layer}/{name}": part for name, part in beside.items()}
        return adopted

    def merged(self, variables: Mapping[str, Any]) -> tuple[Effort, dict[str, Any]]:
        """See `Detector.merged`: triplets and kernels are plain kernels again."""
        flat = traverse_util.flatten_dict(dict(variables), sep="/")
        plain = {}
        for path, array in flat.items():
            layer, _, leaf = path.rpartition("/")
            if leaf in (*RESIDUAL, *GIVEN):
                continue
            if leaf == "kernel" and f"{layer}/{RESIDUAL[0]}" in flat:
                names = ("kernel", *RESIDUAL, *GIVEN)
                array = merge({name: np.asarray(flat[f"{layer}/{name}"]) for name in names})
            plain[path] = array
        return self.clone(rank=0), traverse_util.unflatten_dict(plain, sep="/")


FAMILY = Family(
    title="Effort",
    model=Effort,
    sections={"losses": CrossEntropy},
    check=check_transformer,
    recipes={"paper": PAPER},
    provenance="reconstruction",
)
