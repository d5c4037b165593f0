"""Attention maps, bilinear attention pooling and the pooled features' standardisation."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference
from random_weights import random_variables

from matnet_jax.detectors.mat.attention import (
    AttentionModule,
    attention_sums,
    bilinear_attention_pooling,
    border_mask,
    standardize,
    weighted_average_pooling,
)


def draw(*shape: Any, seed: int = 0) -> Any:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("version", ["paper", "released"])
def test_attention_module(version: Any) -> None:
    x = draw(2, 7, 9, 6)
    module = AttentionModule(4, version)
    variables = random_variables(module, x, train=False)

    @jax.jit
    def run(variables: Any, x: Any) -> Any:
        training, _ = module.apply(variables, x, True, mutable=["batch_stats"])
        return module.apply(variables, x, False), training

    evaluation, training = run(variables, x)
    params, stats = variables["params"], variables["batch_stats"]
    want = reference.attention(x, reference.Scope(params, stats), version)
    np.testing.assert_allclose(evaluation, want, rtol=1e-4, atol=1e-5)
    want = reference.attention(x, reference.Scope(params, None), version)
    np.testing.assert_allclose(training, want, rtol=1e-4, atol=1e-5)
    assert (np.asarray(evaluation) >= 0).all()
    biases = {name for name, leaf in params.items() if "conv" in name and "bias" in leaf}
    assert biases == (set() if version == "paper" else {"extract_conv"})


@pytest.mark.parametrize("size", [(24, 24), (12, 12), (23, 23), (7, 10), (1, 1)])
def test_border_mask(size: Any) -> None:
    np.testing.assert_array_equal(border_mask(size), reference.border_mask(size)[0])


def test_border_mask_is_two_cells_of_24() -> None:
    mask = border_mask((24, 24))[..., 0]
    assert mask.sum() == 20 * 20
    assert not mask[:2].any() and not mask[-2:].any() and mask[2, 2] == 1


@pytest.mark.parametrize("shape", [(2, 9, 7, 5), (2, 9, 7, 4, 5)], ids=["shared", "own"])
def test_bilinear_attention_pooling(shape: Any) -> None:
    """Eq. 2, maps coarser than the features."""
    features, maps = draw(*shape), np.abs(draw(2, 4, 3, 4, seed=1))
    got = jax.jit(bilinear_attention_pooling)(features, maps)
    np.testing.assert_allclose(got, reference.bap(features, maps), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(got, axis=-1), 1, rtol=1e-5)
    sums = attention_sums(features, maps)
    np.testing.assert_allclose(sums, reference.attention_sums(features, maps), rtol=1e-4, atol=1e-4)


def test_zero_map_gives_zeros_and_finite_gradients() -> None:
    features, maps = draw(2, 6, 6, 3), np.abs(draw(2, 3, 3, 2, seed=1))
    maps[0, :, :, 1] = 0

    def total(features: Any, maps: Any) -> Any:
        pooled = bilinear_attention_pooling(features, maps)
        return jnp.sum(pooled * jnp.arange(3.0)), pooled

    grads, pooled = jax.jit(jax.grad(total, (0, 1), has_aux=True))(features, maps)
    np.testing.assert_array_equal(pooled[0, 1], 0)
    assert all(np.isfinite(g).all() for g in grads)
    assert np.abs(grads[1][0, :, :, 0]).max() > 0


def test_weighted_average_pooling() -> None:
    features, maps = draw(2, 5, 6, 3), np.abs(draw(2, 3, 3, 1, seed=1))
    got = weighted_average_pooling(features, maps)
    want = reference.weighted_average(features, maps)
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-6)
    # Without attention the weights are all 1e-8: a plain mean, not 0 / 0.
    got = weighted_average_pooling(features, np.zeros_like(maps))
    np.testing.assert_allclose(got[:, 0], features.mean((1, 2)), rtol=1e-4, atol=1e-6)


def test_standardize() -> None:
    x = 3 + 2 * draw(2, 5, 4, 3)
    np.testing.assert_allclose(standardize(x), reference.standardize(x), rtol=1e-4, atol=1e-5)


def test_standardize_of_a_constant_channel() -> None:
    x = np.full((1, 3, 3, 2), 0.5, np.float32)
    x[..., 1] = draw(1, 3, 3)
    grad = jax.grad(lambda x: jnp.sum(standardize(x) ** 3))(x)
    np.testing.assert_array_equal(standardize(x)[..., 0], 0)
    assert np.isfinite(grad).all()


def test_pooling_of_bfloat16_accumulates_in_float32() -> None:
    """4096 positions of 1 sum to 4096, where a bfloat16 sum stops at 256."""
    features, maps = jnp.ones((1, 64, 64, 2), jnp.bfloat16), jnp.ones((1, 8, 8, 1), jnp.bfloat16)
    sums = attention_sums(features, maps)
    assert sums.dtype == jnp.float32
    np.testing.assert_array_equal(sums, 4096)
