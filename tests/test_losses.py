"""Losses against NumPy, and the gradients of RIL through the updated centers."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference_losses as reference

from matnet_jax.detectors.mat import losses
from matnet_jax.detectors.mat.centers import update_centers
from matnet_jax.nn import losses as nn_losses

LABELS = np.array([0, 1, 1, 0, 1])
VERSIONS = {  # Margins at which some hinges are active and none is at its kink.
    "paper": {"m_in": (0.05, 0.1), "m_out": 0.8},
    "v1": {"m_in": (0.1, 0.3), "m_out": 0.8},
    "v2": {"m_in": (0.1, -2.0), "m_out": 0.8},
}


def regions(batch: int = 5, maps: int = 3, channels: int = 4, seed: int = 0) -> Any:
    """V, rows of length 1, and centers nearer to each other than the margin."""
    draw = np.random.default_rng(seed)
    v = draw.standard_normal((batch, maps, channels))
    v /= np.linalg.norm(v, axis=-1, keepdims=True)
    return v, 0.3 * draw.standard_normal((maps, channels))


def ril(
    v: Any, centers: Any, labels: Any, *, m_in: Any, m_out: Any, rate: Any, version: Any
) -> Any:
    """As the training step composes it."""
    centers = update_centers(centers, v, labels, rate, real_only=version == "v2")
    intra = losses.ril_intra(v, centers, labels, inner_margin=m_in, version=version)
    inter = losses.ril_inter(centers, outer_margin=m_out, center_rate=rate, version=version)
    return intra.mean() + inter


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_cross_entropy(smoothing: Any) -> None:
    logits = 3 * np.random.default_rng(0).standard_normal((5, 2))
    got = nn_losses.cross_entropy(jnp.asarray(logits), LABELS, label_smoothing=smoothing)
    np.testing.assert_allclose(got, reference.cross_entropy(logits, LABELS, smoothing), rtol=1e-5)


def test_cross_entropy_of_sure_logits_is_finite() -> None:
    got = nn_losses.cross_entropy(
        jnp.array([[1e4, -1e4], [1e4, -1e4]], jnp.bfloat16), np.array([0, 1])
    )
    assert got.dtype == jnp.float32
    np.testing.assert_allclose(got, [0, 2e4], rtol=1e-2)


@pytest.mark.parametrize("version", VERSIONS)
def test_ril_terms(version: Any) -> None:
    v, centers = regions()
    margins = VERSIONS[version]
    got = losses.ril_intra(
        jnp.asarray(v), jnp.asarray(centers), LABELS, inner_margin=margins["m_in"], version=version
    )
    want = reference.ril_intra(v, centers, LABELS, margins["m_in"], version)
    assert got.shape == (5,) and want.max() > 0
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)
    inter = losses.ril_inter(
        jnp.asarray(centers), outer_margin=margins["m_out"], center_rate=0.04, version=version
    )
    want_inter = reference.ril_inter(centers, margins["m_out"], 0.04, version)
    assert want_inter > 0
    np.testing.assert_allclose(inter, want_inter, rtol=1e-5)


@pytest.mark.parametrize("version", VERSIONS)
def test_ril_of_centers_that_are_kept(version: Any) -> None:
    """Of rate 0, as `centers.rate = 0` has it: finite, and so is the gradient of V."""
    v, centers = regions()
    for own in (centers, np.zeros_like(centers)):
        arrays = jnp.asarray(v, jnp.float32), jnp.asarray(own, jnp.float32)
        options = VERSIONS[version] | {"rate": 0.0, "version": version}
        value, grad = jax.jit(jax.value_and_grad(lambda *a, o=options: ril(*a, LABELS, **o)))(
            *arrays
        )
        assert np.isfinite(value) and np.isfinite(grad).all() and np.abs(grad).max() > 0


@pytest.mark.parametrize("version", VERSIONS)
def test_ril_gradient_flows_through_the_updated_centers(version: Any) -> None:
    """Central differences of the float64 loss, centers moved by the perturbed V."""
    v, centers = regions()
    options = VERSIONS[version] | {"rate": 0.05, "version": version}
    f32 = jnp.asarray(v, jnp.float32), jnp.asarray(centers, jnp.float32)
    value, grad = jax.value_and_grad(ril)(*f32, LABELS, **options)
    assert value == pytest.approx(reference.ril(v, centers, LABELS, **options), rel=1e-5)
    step, want = 1e-6, np.zeros_like(v)
    for place in np.ndindex(v.shape):
        ends = []
        for sign in (1, -1):
            moved = v.copy()
            moved[place] += sign * step
            ends.append(reference.ril(moved, centers, LABELS, **options))
        want[place] = (ends[0] - ends[1]) / (2 * step)
    np.testing.assert_allclose(grad, want, rtol=1e-3, atol=1e-5)

    def cut(v: Any) -> Any:
        fixed = jax.lax.stop_gradient(
            update_centers(f32[1], v, LABELS, 0.05, real_only=version == "v2")
        )
        intra = losses.ril_intra(v, fixed, LABELS, inner_margin=options["m_in"], version=version)
        return intra.mean()

    assert np.abs(jax.grad(cut)(f32[0]) - want).max() > 1e-3


def test_ril_counts_every_pair_of_centers_twice() -> None:
    centers = jnp.zeros((2, 3)).at[0, 0].set(0.1)
    got = losses.ril_inter(centers, outer_margin=0.2)
    assert got == pytest.approx(2 * (0.2 - 0.01), rel=1e-5)
    assert losses.ril_inter(centers[:1], outer_margin=0.2) == 0


def test_released_ril_pushes_fakes_beyond_their_margin() -> None:
    centers, v = jnp.zeros((2, 2)), jnp.array([[[3.0, 0], [0, 4]], [[0.6, 0], [0, 0.8]]])
    loss = losses.ril_intra(v, centers, np.array([1, 1]), inner_margin=(0.1, -2.0), version="v2")
    np.testing.assert_allclose(loss, [0, 1], rtol=1e-6)


@pytest.mark.parametrize("version", VERSIONS)
def test_ril_of_coinciding_features_and_centers_has_finite_gradients(version: Any) -> None:
    """The first batch: all centers are zeros, and with no real image they stay there."""
    v, labels = jnp.asarray(regions()[0], jnp.float32), np.ones(5, int)
    options = VERSIONS[version] | {"rate": 0.05, "version": version}
    grad = jax.grad(ril)(v, jnp.zeros((3, 4)), labels, **options)
    assert np.isfinite(grad).all()
    grad = jax.grad(ril)(jnp.zeros_like(v), jnp.zeros((3, 4)), labels, **options)
    assert np.isfinite(grad).all()


def test_ams() -> None:
    v, class_centers = regions()
    got = losses.ams(jnp.asarray(v), jnp.asarray(class_centers), scale=10.0, margin=0.35)
    np.testing.assert_allclose(got, reference.ams(v, class_centers, 10.0, 0.35), rtol=1e-5)


def test_ams_of_one_map_is_zero() -> None:
    v, class_centers = regions(maps=1)
    got = losses.ams(jnp.asarray(v), jnp.asarray(class_centers), scale=10.0, margin=0.35)
    np.testing.assert_allclose(got, 0, atol=1e-6)


def test_match() -> None:
    (augmented, _), (original, _) = regions(seed=0), regions(seed=1)
    dropped = np.array([0, 2, 1, 0, 2])
    got = losses.match(jnp.asarray(augmented), jnp.asarray(original), dropped)
    np.testing.assert_allclose(got, reference.match(augmented, original, dropped), rtol=1e-5)


def test_match_of_unmoved_features_has_gradient_zero() -> None:
    v = jnp.asarray(regions()[0], jnp.float32)
    dropped = np.zeros(5, int)
    value, grad = jax.value_and_grad(lambda a: losses.match(a, v, dropped).sum())(v)
    assert value == 0
    np.testing.assert_array_equal(grad, 0)


@pytest.mark.parametrize("term", ["intra", "inter"])
def test_unknown_ril_version(term: Any) -> None:
    v, centers = regions()
    with pytest.raises(ValueError, match="unknown RIL version 'v3'; available: paper, v1, v2"):
        if term == "intra":
            losses.ril_intra(v, centers, LABELS, inner_margin=(0.0, 0.0), version="v3")
        else:
            losses.ril_inter(centers, outer_margin=0.2, version="v3")
