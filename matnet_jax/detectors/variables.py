"""Variables of a detector: their shapes, and their initial values."""

from __future__ import annotations

import functools
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from matnet_jax.detectors.base import Detector
from matnet_jax.nn.declared import declared, draw_variables


def abstract_output(model: Detector) -> Any:
    """Shapes and dtypes of what a model gives for one example: a trace that computes nothing."""
    return _traced(model)[0]


def abstract_variables(model: Detector) -> dict[str, Any]:
    """Shapes and dtypes of a model's variables, from a trace that computes and compiles nothing.

    Returns:
      "params" and the network's other collections, of `jax.ShapeDtypeStruct`.
    """
    return dict(nn.meta.unbox(_traced(model)[1]))


def init_variables(model: Detector, seed: int) -> dict[str, Any]:
    """Initial variables, deterministic by seed, without compiling the network.

    What a module declares is what a leaf gets: see `matnet_jax.nn.declared`.

    Returns:
      "params" and the network's other collections, of float32 NumPy arrays: "batch_stats", and a
      MAT's "feature_centers", whose "centers" are [M, N] zeros.
    """
    return draw_variables(model.init, _images(model), seed=seed, variables=_traced(model)[1])


@functools.lru_cache(maxsize=8)
def _traced(model: Detector) -> tuple[Any, dict[str, Any]]:
    """Output and declared variables: a run's checks, shapes and initial values share one trace."""
    return declared(model.init_with_output, _images(model))


def _images(model: Detector) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct((1, *model.input_shape), jnp.float32)
