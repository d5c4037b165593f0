"""A checkpoint in our paths and layouts, whoever wrote it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from matnet_jax.pretrained.files import CheckpointFileError


@dataclasses.dataclass(frozen=True)
class Weights:
    """A checkpoint in our paths and layouts.

    Attributes:
      family: what it was recognised as.
      arrays: by our path.
      unexpected: keys that no rule could name.
      fields: model fields that the weights were made for: mean and std of pixels in [0, 1], and
        what of batch norm and padding differs from the model's defaults.
      is_backbone: a plain classifier's: a MAT takes its features only.
    """

    family: str
    arrays: Mapping[str, np.ndarray]
    unexpected: tuple[str, ...] = ()
    fields: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    is_backbone: bool = True


def own_weights(arrays: Mapping[str, np.ndarray], metadata: Mapping[str, Any]) -> Weights:
    """A checkpoint of this library, by its arrays and its metadata."""
    preprocess = metadata.get("preprocess", {})
    fields = {name: tuple(preprocess[name]) for name in ("mean", "std") if name in preprocess}
    model = metadata.get("config", {}).get("model", {})
    for name in ("batch_norm_epsilon", "same_max_pool"):
        if model.get(name) is not None:
            fields[name] = model[name]
    return Weights(
        "a checkpoint of this library",
        arrays,
        fields=fields,
        is_backbone="classifier" in (model.get("name"), model.get("kind")),
    )


def join(parts: Sequence[Weights]) -> Weights:
    """One network's checkpoint from the files that hold its parts.

    Raises:
      CheckpointFileError: two of them have the same array.
    """
    arrays: dict[str, np.ndarray] = {}
    for part in parts:
        if twice := sorted(arrays.keys() & part.arrays.keys()):
            raise CheckpointFileError(
                f"the files are not parts of one network: {twice[0]} and {len(twice) - 1} more "
                f"arrays are in two of them ({', '.join(p.family for p in parts)})"
            )
        arrays |= part.arrays
    return Weights(
        " and ".join(part.family for part in parts),
        arrays,
        tuple(key for part in parts for key in part.unexpected),
        {name: value for part in parts for name, value in part.fields.items()},
        is_backbone=all(part.is_backbone for part in parts),
    )
