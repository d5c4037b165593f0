"""Variables of a detector: their shapes, and their initial values."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from matnet_jax.detectors.base import Detector
from matnet_jax.nn.initializers import initial_value


def abstract_variables(model: Detector) -> dict[str, Any]:
    """Shapes and dtypes of a model's variables, from a trace that computes and compiles nothing.

    Returns:
      "params" and the network's other collections, of `jax.ShapeDtypeStruct`.
    """
    images = jax.ShapeDtypeStruct((1, model.image_size, model.image_size, 3), jnp.float32)
    return jax.eval_shape(lambda x: model.init(jax.random.key(0), x), images)


def init_variables(model: Detector, seed: int) -> dict[str, Any]:
    """Initial variables, deterministic by seed, without compiling the network.

    Shapes come from an abstract trace, values from `matnet_jax.nn.initializers`, leaf by leaf.

    Returns:
      "params" and the network's other collections, of float32 NumPy arrays: "batch_stats", and a
      MAT's "feature_centers", whose "centers" are [M, N] zeros.
    """

    def value(path, leaf) -> np.ndarray:
        return initial_value("/".join(k.key for k in path), leaf.shape, leaf.dtype, seed)

    return jax.tree_util.tree_map_with_path(value, abstract_variables(model))
