"""Augmentations."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_pipeline.training import ops
from data_pipeline.training.example import Example
from data_pipeline.training.ops import PRESETS, fit_to_size

EVERY = [
    ops.Flip(1.0),
    ops.HueSaturationValue(1.0),
    ops.BrightnessContrast(1.0),
    ops.GaussianNoise(1.0),
    ops.GaussianBlur(1.0),
    ops.MotionBlur(1.0),
    ops.JPEG(1.0),
    ops.Downscale(1.0),
    ops.Grey(1.0),
    ops.RandomCrop(1.0),
    ops.Cutout(1.0),
]


def picture(seed: int, height: int = 40, width: int = 40) -> np.ndarray:
    draw = np.random.default_rng(seed)
    coarse = draw.integers(0, 255, (5, 5, 3)).astype(np.uint8)
    import cv2

    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)


def apply_ops(image: np.ndarray, applied, seed: int) -> np.ndarray:
    return ops.apply_ops(Example(image, 0), applied, seed).image


@pytest.mark.parametrize("op", EVERY, ids=lambda op: type(op).__name__)
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), height=st.integers(8, 60), width=st.integers(8, 60))
def test_ops_keep_shape_and_type_and_follow_their_seed(op, seed, height, width):
    image = picture(seed % 7, height, width)
    before = image.copy()
    first, again = (apply_ops(image, [op], seed) for _ in range(2))
    assert first.shape == image.shape and first.dtype == np.uint8
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(image, before)


@pytest.mark.parametrize("op", EVERY, ids=lambda op: type(op).__name__)
def test_ops_change_the_image_and_vary_with_the_seed(op):
    image = picture(1)
    outputs = [apply_ops(image, [op], seed) for seed in range(8)]
    assert any(not np.array_equal(out, image) for out in outputs)
    if type(op) not in (ops.Flip, ops.Grey):
        assert len({out.tobytes() for out in outputs}) > 1


def test_the_probability_is_respected():
    image = picture(2)
    for p, low, high in ((0.0, 0, 0), (0.3, 60, 120), (1.0, 300, 300)):
        flipped = sum(
            not np.array_equal(apply_ops(image, [ops.Flip(p)], seed), image) for seed in range(300)
        )
        assert low <= flipped <= high


def test_an_added_op_leaves_the_draws_of_the_others_alone():
    image = picture(3)
    blur, never = ops.GaussianBlur(1.0), ops.Cutout(0.0)
    np.testing.assert_array_equal(apply_ops(image, [blur], 9), apply_ops(image, [blur, never], 9))


def test_known_values():
    image = picture(4)
    np.testing.assert_array_equal(apply_ops(image, [ops.Flip(1.0)], 0), image[:, ::-1])
    grey = apply_ops(image, [ops.Grey(1.0)], 0)
    assert (grey[..., 0] == grey[..., 1]).all() and (grey[..., 1] == grey[..., 2]).all()
    noisy = ops.GaussianNoise(1.0, (5.0, 5.0)).change(
        np.full((80, 80, 3), 128, np.uint8), np.random.default_rng(0)
    )
    assert noisy.std() == pytest.approx(5.0, rel=0.1)
    assert noisy.mean() == pytest.approx(128, abs=0.3)


def test_presets_are_frozen_and_named():
    assert list(PRESETS) == ["none", "flip", "standard", "strong"]
    with pytest.raises(dataclasses.FrozenInstanceError):
        PRESETS["flip"][0].p = 0.1  # type: ignore[misc]


def test_fitting_takes_the_centre_square():
    image = picture(5, 30, 50)
    np.testing.assert_array_equal(fit_to_size(image, 30), image[:, 10:40])
    assert fit_to_size(image, 64).shape == (64, 64, 3)
    assert fit_to_size(image, 16).shape == (16, 16, 3)
