"""Resizing rules against loops over pixels, at any pair of sizes."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import pytest
import reference
from hypothesis import given, settings
from hypothesis import strategies as st

from matnet_jax.nn import resize

RULES = {
    "bilinear": (resize.bilinear_weights, resize.resize_bilinear, reference.resize_bilinear),
    "average": (
        resize.average_weights,
        resize.adaptive_average_pool,
        reference.adaptive_average_pool,
    ),
    "nearest": (resize.nearest_weights, resize.resize_nearest, reference.resize_nearest),
}
SIZES = st.integers(1, 33)


@pytest.mark.parametrize("rule", RULES)
@given(source=SIZES, target=SIZES)
@settings(max_examples=60, deadline=None)
def test_weights_of_one_axis(rule: Any, source: Any, target: Any) -> None:
    weights, _, slow = RULES[rule]
    # Row i of an identity image responds with the weight of source i.
    identity = np.eye(source)[None, :, None, :]
    want = slow(identity, (target, 1))[0, :, 0]
    np.testing.assert_allclose(weights(source, target), want, atol=1e-12)
    np.testing.assert_allclose(weights(source, target).sum(1), 1, atol=1e-12)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("size", [(3, 5), (11, 7), (7, 9), (14, 4)])
def test_images(rule: Any, size: Any) -> None:
    _, fast, slow = RULES[rule]
    x = np.random.default_rng(0).standard_normal((2, 7, 9, 3)).astype(np.float32)
    got = jax.jit(fast, static_argnums=1)(x, size)
    np.testing.assert_allclose(got, slow(x, size), rtol=1e-5, atol=1e-6)


def test_bilinear_keeps_corners_and_linear_ramps() -> None:
    ramp = np.linspace(-1, 1, 7)[None, :, None, None] * np.ones((1, 7, 7, 1), np.float32)
    out = np.asarray(resize.resize_bilinear(ramp.astype(np.float32), (13, 13)))
    np.testing.assert_allclose(out[0, :, 0, 0], np.linspace(-1, 1, 13), atol=1e-6)


def test_nearest_takes_the_floor_not_the_half_pixel() -> None:
    x = np.arange(5, dtype=np.float32)[None, :, None, None]
    out = np.asarray(resize.resize_nearest(x, (3, 1)))[0, :, 0, 0]
    np.testing.assert_array_equal(out, [0, 1, 3])
    assert not np.array_equal(out, jax.image.resize(x, (1, 3, 1, 1), "nearest")[0, :, 0, 0])


def test_average_bins_overlap_where_sizes_do_not_divide() -> None:
    x = np.arange(5, dtype=np.float32)[None, :, None, None]
    out = resize.adaptive_average_pool(x, (3, 1))[0, :, 0, 0]
    np.testing.assert_allclose(out, [0.5, 2.0, 3.5])


def test_dtype_is_kept() -> None:
    x = np.zeros((1, 4, 4, 1), jax.numpy.bfloat16)
    assert resize.resize_bilinear(x, (7, 7)).dtype == jax.numpy.bfloat16
