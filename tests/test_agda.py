"""Attention-guided augmentation: every piece against NumPy, then its modes and draws."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference_losses as reference

from matnet_jax.detectors.mat import agda
from matnet_jax.detectors.mat.agda import RELEASED, AGDAOptions

DRAW = np.random.default_rng(0)
IMAGES = DRAW.uniform(-1, 1, (3, 18, 21, 3)).astype(np.float32)
MAPS = (DRAW.random((3, 5, 6, 4)) ** 3).astype(np.float32)
INDEX = np.array([2, 0, 3])
SIZE = IMAGES.shape[1:3]
SMALL = AGDAOptions(scale=0.5, kernel_size=5, sigma=1.5)
KEY = jax.random.key(0)


@pytest.fixture(scope="module")
def salience() -> Any:
    return reference.salience(MAPS, INDEX, SIZE)


@pytest.fixture(scope="module")
def degraded() -> Any:
    return reference.degrade(IMAGES, SMALL.scale, SMALL.kernel_size, SMALL.sigma)


def options(**fields: Any) -> Any:
    return AGDAOptions(**({"scale": 0.5, "kernel_size": 5, "sigma": 1.5} | fields))


def augment(key: Any, chosen: Any, images: Any = IMAGES, maps: Any = MAPS) -> Any:
    return jax.jit(agda.augment, static_argnums=3)(key, images, maps, chosen)


def test_augmentation_map(salience: Any) -> None:
    got = agda.augmentation_map(MAPS, INDEX, SIZE)
    np.testing.assert_allclose(got, salience, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(got.max((1, 2)), 1, rtol=1e-5)


def test_augmentation_map_of_a_zero_map_is_zero() -> None:
    np.testing.assert_array_equal(agda.augmentation_map(np.zeros_like(MAPS), INDEX, SIZE), 0)


@pytest.mark.parametrize("kernel_size", [3, 11])
def test_gaussian_blur(kernel_size: Any) -> None:
    """Separable equals the two-dimensional loop, border reflected without repeating its edge."""
    x = IMAGES[:1, :9, :7]
    got = agda.gaussian_blur(jnp.asarray(x), kernel_size, 7.0)
    np.testing.assert_allclose(got, reference.blur(x, kernel_size, lambda *_: 7.0), atol=1e-5)


def test_degraded_image(degraded: Any) -> None:
    np.testing.assert_allclose(agda.degrade(KEY, IMAGES, SMALL), degraded, atol=1e-5)


def test_noise_is_added_to_the_small_image() -> None:
    noisy, clean = (agda.degrade(KEY, IMAGES, options(noise=n)) for n in (0.1, 0.0))
    added = np.asarray(noisy - clean)
    # Bilinear enlargement only averages: the corners keep a small pixel's full deviation.
    assert 0.03 < added.std() < 0.1
    _, other = jax.random.split(KEY)
    assert np.abs(agda.degrade(other, IMAGES, options(noise=0.1)) - noisy).max() > 0.01


def test_soft_mode_is_equation_6(
    salience: Any, degraded: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agda, "choose_map", lambda *_: jnp.asarray(INDEX))
    got = agda.augment(KEY, IMAGES, MAPS, SMALL)
    want = reference.soft(IMAGES, degraded, salience)
    np.testing.assert_allclose(got.images, want, atol=1e-5)
    np.testing.assert_array_equal(got.map_index, INDEX)


def test_hard_mode_is_equation_7(salience: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agda, "choose_map", lambda *_: jnp.asarray(INDEX))
    got = agda.augment(KEY, IMAGES, MAPS, options(mode="hard"))
    want = reference.hard(IMAGES, salience, 0.5)
    np.testing.assert_array_equal(got.images, want.astype(np.float32))
    assert 0 < (want == 0).mean() < 1


def test_released_weight(salience: Any, degraded: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agda, "choose_map", lambda *_: jnp.asarray(INDEX))
    fixed = options(threshold=(0.45, 0.45), zoom=(4.0, 4.0))
    weight = reference.released_weight(salience, 0.45, 4.0)
    assert weight.min() >= 0 and weight.max() < 1
    got = agda.augment(KEY, IMAGES, MAPS, fixed)
    np.testing.assert_allclose(got.images, reference.soft(IMAGES, degraded, weight), atol=1e-5)


def test_threshold_and_zoom_are_drawn_in_their_ranges_once_a_batch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    drawn, weight_map = [], agda.weight_map

    def record(salience: Any, threshold: Any, zoom: Any) -> Any:
        assert threshold.shape == zoom.shape == ()
        drawn.append((float(threshold), float(zoom)))
        return weight_map(salience, threshold, zoom)

    monkeypatch.setattr(agda, "weight_map", record)
    chosen = options(threshold=RELEASED.threshold, zoom=RELEASED.zoom)
    for seed in range(20):
        agda.augment(jax.random.key(seed), IMAGES, MAPS, chosen)
    t, z = np.transpose(drawn)
    assert t.min() >= 0.4 and t.max() <= 0.6 and t.std() > 0.02
    assert z.min() >= 3.0 and z.max() <= 5.0 and z.std() > 0.2
    assert abs(np.corrcoef(t, z)[0, 1]) < 0.8


def test_mix_mode_draws_soft_or_hard_a_batch() -> None:
    run = jax.jit(agda.augment, static_argnums=3)
    kinds = []
    for seed in range(12):
        key = jax.random.key(seed)
        mixed, soft, hard = (
            run(key, IMAGES, MAPS, options(mode=mode)).images for mode in ("mix", "soft", "hard")
        )
        is_soft, is_hard = (np.allclose(mixed, other, atol=1e-3) for other in (soft, hard))
        assert is_soft != is_hard
        kinds.append(is_soft)
    assert 0 < sum(kinds) < 12


def test_pointwise_mode_blurs_every_pixel_with_its_own_width(
    salience: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agda, "choose_map", lambda *_: jnp.asarray(INDEX))
    got = augment(KEY, options(mode="pointwise"))
    sigma = np.maximum(salience[..., 0] * 1.5, 1e-3)
    want = reference.blur(IMAGES, 5, lambda b, i, j: sigma[b, i, j])
    np.testing.assert_allclose(got.images, want, atol=1e-4)


def test_pointwise_width_zero_keeps_the_pixel() -> None:
    got = agda.pointwise_blur(jnp.asarray(IMAGES), jnp.zeros((3, *SIZE, 1)), 5)
    np.testing.assert_allclose(got, IMAGES, rtol=1e-6)


def test_none_mode_keeps_the_images() -> None:
    np.testing.assert_array_equal(augment(KEY, options(mode="none")).images, IMAGES)


@pytest.mark.parametrize("chosen", [SMALL, options(mode="pointwise"), options(noise=0.1)])
def test_same_key_same_images(chosen: Any) -> None:
    first, again = augment(KEY, chosen), augment(KEY, chosen)
    np.testing.assert_array_equal(first.images, again.images)
    np.testing.assert_array_equal(first.map_index, again.map_index)


@pytest.mark.parametrize("mode", ["soft", "hard", "mix", "pointwise"])
def test_no_gradient_flows(mode: Any) -> None:
    @jax.jit
    def gradients(images: Any, maps: Any) -> Any:
        def total(images: Any, maps: Any) -> Any:
            return jnp.sum(agda.augment(KEY, images, maps, options(mode=mode)).images ** 2)

        return jax.grad(total, (0, 1))(images, maps)

    for grad in gradients(IMAGES, MAPS):
        np.testing.assert_array_equal(grad, 0)


def test_choice_probabilities() -> None:
    got = agda.choice_probabilities(MAPS, "weighted")
    np.testing.assert_allclose(got, reference.weighted_choice(MAPS), rtol=1e-5)
    np.testing.assert_array_equal(agda.choice_probabilities(MAPS, "uniform"), 0.25)


@pytest.mark.parametrize("choice", ["uniform", "weighted"])
def test_frequencies_of_the_choice(choice: Any) -> None:
    """4000 draws of one image's maps fit the probabilities by χ² (99.9 %, 3 degrees: 16.3)."""
    maps = np.zeros((1, 5, 6, 4), np.float32) + np.array([0, 0.1, 0.5, 3], np.float32)
    batch = np.repeat(maps, 4000, axis=0)
    drawn = np.bincount(agda.choose_map(KEY, batch, choice), minlength=4)
    weights = np.sqrt(30 * maps[0, 0, 0] + 1) if choice == "weighted" else np.ones(4)
    expected = 4000 * weights / weights.sum()
    assert ((drawn - expected) ** 2 / expected).sum() < 16.3


def test_images_keep_their_dtype() -> None:
    got = augment(KEY, SMALL, IMAGES.astype(jnp.bfloat16))
    assert got.images.dtype == jnp.bfloat16


def test_too_small_an_image() -> None:
    with pytest.raises(ValueError, match=r"blurs at 5×6 pixels \(scale 0.3 of 18×21\).*11 needs"):
        agda.augment(KEY, IMAGES, MAPS, AGDAOptions())


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"mode": "sotf"}, "AGDAOptions.mode must be one of soft, hard, .*got 'sotf'"),
        ({"choice": "all"}, "choice must be one of uniform, weighted"),
        ({"kernel_size": 4}, "kernel_size must be odd, at least 1; got 4"),
        ({"scale": 0.0}, "scale must be above 0, at most 1"),
        ({"sigma": 0.0}, "sigma must be above 0"),
    ],
)
def test_options_are_checked(fields: Any, message: Any) -> None:
    with pytest.raises(ValueError, match=message):
        AGDAOptions(**fields)


def test_defaults_are_the_papers() -> None:
    paper = AGDAOptions()
    assert (paper.mode, paper.scale, paper.kernel_size, paper.sigma) == ("soft", 0.3, 11, 7.0)
    assert (paper.threshold, paper.zoom, paper.noise) == ((0.5, 0.5), None, 0.0)
    assert (RELEASED.scale, RELEASED.noise, RELEASED.choice) == (0.5, 0.1, "weighted")
    assert (RELEASED.threshold, RELEASED.zoom) == ((0.4, 0.6), (3.0, 5.0))
