"""What lies beside an exported network, whatever its format."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from data_pipeline.files import atomic_folder, write_json
from matnet_jax.detectors.base import Detector
from matnet_jax.detectors.inference import infer
from matnet_jax.nn.attention import portable
from matnet_jax.runtime.workdir import versions

Outputs = dict[str, jax.Array]

PREPROCESS_FILE = "preprocess.json"


def interface(model: Detector, variables: Mapping[str, Any]) -> dict[str, Any]:
    """What a user without this library has to know, as JSON values."""
    size = model.image_size
    found = jax.eval_shape(
        lambda images: infer(model, variables, images),
        jax.ShapeDtypeStruct((1, *model.input_shape), jnp.float32),
    )
    shape = ", ".join(map(str, model.input_shape))
    frames = f"clips of {model.clip_length} " if model.clip_length > 1 else ""
    return {
        "image_size": size,
        "clip_length": model.clip_length,
        "mean": list(model.mean),
        "std": list(model.std),
        "input": (
            f"images, float32 [b, {shape}]: {frames}RGB face crops, cut to their centre square "
            f"and resized to {size} pixels, as (pixel / 255 - mean) / std"
        ),
        "outputs": {
            name: ["b", *array.shape[1:]] for name, array in sorted(found.arrays().items())
        },
        "heatmaps": sorted(found.heatmaps),
        "score": "probability of fake; logits are [real, fake]",
        "versions": versions(),
    }


@contextlib.contextmanager
def export_folder(out: str | Path, described: Mapping[str, Any]) -> Iterator[Path]:
    """A new folder for a network's files, `preprocess.json` in it.

    Raises:
      FileExistsError: `out` is there already.
    """
    with atomic_folder(out) as folder:
        yield folder
        write_json(folder / PREPROCESS_FILE, described)


def prepared(model: Detector, variables: Mapping[str, Any]) -> tuple[Detector, dict[str, Any]]:
    """The network as it is exported: without what only training needs."""
    model, variables = model.merged(variables)
    return model, {name: tree for name, tree in variables.items() if tree}


def outputs(model: Detector, variables: Mapping[str, Any], images: jax.Array) -> Outputs:
    """What an exported network computes, in operations that every platform has."""
    with portable():
        return infer(model, variables, images).arrays()
