"""The update of the feature centers (eq. 4)."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference_losses as reference

from matnet_jax.detectors.mat.centers import update_centers

DRAW = np.random.default_rng(0)
V, CENTERS = DRAW.standard_normal((6, 3, 4)), DRAW.standard_normal((3, 4))
LABELS = np.array([0, 1, 1, 0, 1, 1])


@pytest.mark.parametrize("real_only", [False, True])
def test_update(real_only: Any) -> None:
    got = update_centers(jnp.asarray(CENTERS), jnp.asarray(V), LABELS, 0.05, real_only=real_only)
    want = reference.update_centers(CENTERS, V, LABELS, 0.05, real_only)
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("real_only", [False, True])
def test_update_is_differentiable_in_the_features(real_only: Any) -> None:
    def total(v: Any) -> Any:
        return update_centers(jnp.asarray(CENTERS), v, LABELS, 0.05, real_only=real_only).sum()

    grad = jax.grad(total)(jnp.asarray(V, jnp.float32))
    pulls = (LABELS == 0) if real_only else np.ones(6)
    np.testing.assert_allclose(grad, np.broadcast_to(pulls[:, None, None], V.shape) * 0.05 / 6)


def test_rates_at_the_ends() -> None:
    centers, v = jnp.asarray(CENTERS), jnp.asarray(V)
    np.testing.assert_allclose(update_centers(centers, v, LABELS, 0.0), CENTERS, rtol=1e-6)
    got = update_centers(centers, v, LABELS, 1.0)
    np.testing.assert_allclose(got, V.mean(0), rtol=1e-4, atol=1e-6)


def test_a_batch_without_a_real_sample_leaves_them() -> None:
    ones = np.ones(6, int)
    got = update_centers(jnp.asarray(CENTERS), jnp.asarray(V), ones, 0.05, real_only=True)
    np.testing.assert_array_equal(got, CENTERS.astype(np.float32))


def test_centers_stay_float32_for_bfloat16_features() -> None:
    got = update_centers(jnp.asarray(CENTERS), jnp.asarray(V, jnp.bfloat16), LABELS, 0.05)
    assert got.dtype == jnp.float32
