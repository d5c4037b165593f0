"""Variables of a detector: their shapes, and their initial values."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from matnet_jax.detectors.classifier import PlainClassifier
from matnet_jax.detectors.mat.network import MAT
from matnet_jax.nn.declared import draw_variables


def abstract_variables(model: MAT | PlainClassifier) -> dict[str, Any]:
    """Shapes and dtypes of a model's variables, from a trace that computes and compiles nothing.

    Returns:
      {"params", "batch_stats", "feature_centers"} of `jax.ShapeDtypeStruct`.
    """
    variables = jax.eval_shape(lambda x: model.init(jax.random.key(0), x), _images(model))
    return {"feature_centers": {}, **variables}


def init_variables(model: MAT | PlainClassifier, seed: int) -> dict[str, Any]:
    """Initial variables, deterministic by seed, without compiling the network.

    What a module declares is what a leaf gets: see `matnet_jax.nn.declared`.

    Returns:
      {"params", "batch_stats", "feature_centers"} of float32 NumPy arrays;
      variables["feature_centers"]["centers"] is [M, N] zeros (the classifier has none).
    """
    return {"feature_centers": {}, **draw_variables(model.init, _images(model), seed=seed)}


def _images(model: MAT | PlainClassifier) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct((1, model.image_size, model.image_size, 3), jnp.float32)
