"""Texture enhancement against NumPy that runs one network a map."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference
from random_weights import random_variables

from matnet_jax.detectors.mat.texture import TextureBlock, concatenate_in_groups

CHANNELS, MAPS = 3, 2
FEATURES = np.random.default_rng(0).standard_normal((2, 7, 9, CHANNELS)).astype(np.float32)
ATTENTION = np.random.default_rng(1).random((2, 4, 5, MAPS)).astype(np.float32)
SHAPES = {"paper": (4 * CHANNELS,), "v1": (4 * CHANNELS,), "v2": (MAPS, CHANNELS)}


@pytest.mark.parametrize("version", SHAPES)
def test_texture_block(version: Any) -> None:
    block = TextureBlock(version)
    variables = random_variables(block, FEATURES, ATTENTION, train=False)

    @jax.jit
    def run(variables: Any, features: Any, maps: Any) -> Any:
        training, _ = block.apply(variables, features, maps, True, mutable=["batch_stats"])
        return block.apply(variables, features, maps, False), training

    evaluation, training = run(variables, FEATURES, ATTENTION)
    assert evaluation.features.shape == (2, 7, 9, *SHAPES[version])
    for got, stats in ((evaluation, variables["batch_stats"]), (training, None)):
        scope = reference.Scope(variables["params"], stats)
        features, pooled = reference.texture(FEATURES, ATTENTION, scope, version)
        np.testing.assert_allclose(got.features, features, rtol=1e-3, atol=1e-4)
        np.testing.assert_allclose(got.pooled, pooled, rtol=1e-4, atol=1e-5)


def test_textural_features_begin_with_the_residual() -> None:
    """Eq. 1: T = f − up(D) is the dense block's input, and its first channels."""
    block = TextureBlock("paper")
    variables = random_variables(block, FEATURES, ATTENTION, train=False)
    out = block.apply(variables, FEATURES, ATTENTION, False)
    pooled, texture = reference.residual(FEATURES, (4, 5))
    np.testing.assert_allclose(out.pooled, pooled, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(out.features[..., :CHANNELS], texture, rtol=1e-5, atol=1e-6)


def test_maps_as_fine_as_the_features_take_nothing_away() -> None:
    block = TextureBlock("paper")
    maps = np.ones((2, 7, 9, MAPS), np.float32)
    variables = random_variables(block, FEATURES, maps, train=False)
    out = block.apply(variables, FEATURES, maps, False)
    np.testing.assert_array_equal(out.features[..., :CHANNELS], FEATURES)
    np.testing.assert_array_equal(out.pooled, FEATURES)


def test_no_gradient_reaches_attention_through_the_texture_weights() -> None:
    block = TextureBlock("v2")
    variables = random_variables(block, FEATURES, ATTENTION, train=False)

    def total(maps: Any) -> Any:
        return jnp.sum(jnp.square(block.apply(variables, FEATURES, maps, False).features))

    np.testing.assert_array_equal(jax.grad(total)(ATTENTION), 0)
    # The maps do matter: only their gradient is cut.
    assert abs(float(total(ATTENTION)) - float(total(1 - ATTENTION))) > 1e-3


def test_concatenation_is_inside_each_group() -> None:
    """Group-major: map k's channels lie together, k·C + c."""
    a = np.array([10, 11, 20, 21]).reshape(1, 1, 1, 4)
    b = np.array([12, 22]).reshape(1, 1, 1, 2)
    got = concatenate_in_groups([a, b], 2)
    np.testing.assert_array_equal(got[0, 0, 0], [10, 11, 12, 20, 21, 22])


def test_unknown_version() -> None:
    with pytest.raises(ValueError, match="unknown texture version 'v3'; use paper, v1 or v2"):
        jax.eval_shape(
            lambda f, a: TextureBlock("v3").init(jax.random.key(0), f, a, False),
            FEATURES,
            ATTENTION,
        )
