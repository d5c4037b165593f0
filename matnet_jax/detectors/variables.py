"""Variables of a detector: their shapes, and their initial values."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from matnet_jax.detectors.base import Detector
from matnet_jax.nn.declared import draw_variables


def abstract_variables(model: Detector) -> dict[str, Any]:
    """Shapes and dtypes of a model's variables, from a trace that computes and compiles nothing.

    Returns:
      "params" and the network's other collections, of `jax.ShapeDtypeStruct`.
    """
    return jax.eval_shape(lambda x: model.init(jax.random.key(0), x), _images(model))


def init_variables(model: Detector, seed: int) -> dict[str, Any]:
    """Initial variables, deterministic by seed, without compiling the network.

    What a module declares is what a leaf gets: see `matnet_jax.nn.declared`.

    Returns:
      "params" and the network's other collections, of float32 NumPy arrays: "batch_stats", and a
      MAT's "feature_centers", whose "centers" are [M, N] zeros.
    """
    return draw_variables(model.init, _images(model), seed=seed)


def _images(model: Detector) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct((1, model.image_size, model.image_size, 3), jnp.float32)
