"""Co-occurrences of residuals, against loops over pixels in whole numbers."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import pytest

from matnet_jax.nn.cooccurrence import (
    cooccurrences,
    luma_thousandths,
    quantized,
    third_order_features,
)


def features_in_numpy(x: np.ndarray, step: int) -> np.ndarray:
    """The 162 of one image of whole numbers; `step` even."""
    height, width = x.shape

    def level(a: int, b: int, c: int, d: int) -> int:
        r = a - 3 * b + 3 * c - d
        return int(np.sign(r)) if 2 * abs(r) >= step else 0

    across = np.array([[level(*x[i, j : j + 4]) for j in range(width - 3)] for i in range(height)])
    down = np.array([[level(*x[i : i + 4, j]) for j in range(width)] for i in range(height - 3)])

    def count(levels: np.ndarray, along_rows: bool, histogram: np.ndarray) -> None:
        levels = levels if along_rows else levels.T
        for row in levels:
            for j in range(len(row) - 3):
                index = sum((int(q) + 1) * 3**k for k, q in enumerate(row[j : j + 4]))
                histogram[index] += 1

    halves = np.zeros((2, 81))
    count(across, True, halves[0])
    count(down, False, halves[0])
    count(across, False, halves[1])
    count(down, True, halves[1])
    return (halves / halves.sum(1, keepdims=True)).reshape(-1)


def smooth_pixels(size: tuple[int, int], seed: int = 0) -> np.ndarray:
    """Uint8 RGB with small differences, so that all levels occur."""
    draw = np.random.default_rng(seed)
    ramp = np.add.outer(np.arange(size[0]), np.arange(size[1]))[..., None] + [40, 60, 90]
    return (ramp + draw.integers(0, 2, (*size, 3))).astype(np.uint8)


@pytest.mark.parametrize("size", [(16, 16), (9, 21)])
@pytest.mark.parametrize("quantum", [1, 2])
def test_all_162_exactly(size: Any, quantum: Any) -> None:
    pixels = np.stack([smooth_pixels(size, seed) for seed in range(3)])
    luma = luma_thousandths(pixels)
    np.testing.assert_array_equal(luma, pixels.astype(int) @ np.array([299, 587, 114]))
    found = jax.jit(third_order_features, static_argnums=1)(luma, 1000.0 * quantum)
    for one, own in zip(np.asarray(luma).astype(int), np.asarray(found), strict=True):
        want = features_in_numpy(one, 1000 * quantum)
        assert np.count_nonzero(want) > 20
        np.testing.assert_allclose(own, want, rtol=3e-7)  # a division's rounding


def test_halves_are_rounded_away_from_zero() -> None:
    x = np.float32([-5, -3, -2.9, -1, -0.9, 0, 0.9, 1, 2.9, 3, 5])
    np.testing.assert_array_equal(quantized(x, 2.0), np.sign(x) * (np.abs(x) >= 1))
    np.testing.assert_array_equal(quantized(x, 2.0, limit=2), [-2, -2, -1, -1, 0, 0, 0, 1, 1, 2, 2])


def test_two_levels_either_side_have_625_bins() -> None:
    levels = np.random.default_rng(0).integers(-2, 3, (2, 6, 7)).astype(np.float32)
    found = cooccurrences(levels, 2, limit=2)
    want = np.zeros((2, 625))
    for b, i, j in np.ndindex(2, 6, 4):
        run = levels[b, i, j : j + 4].astype(int) + 2
        want[b, run @ 5 ** np.arange(4)] += 1
    np.testing.assert_array_equal(found, want)


def test_an_image_that_holds_no_run_is_said() -> None:
    with pytest.raises(ValueError, match="3 places along axis 2 hold no run of 4"):
        third_order_features(np.zeros((1, 9, 6), np.float32), 1.0)
