"""The cosine transform and its bands against their definitions."""

from __future__ import annotations

import math
from typing import Any

import jax
import numpy as np
import pytest

from matnet_jax.nn.frequency import band, dct2, dct_matrix, inverse_dct2, windowed_dct


def spectrum(x: Any) -> Any:
    """The orthonormal DCT-II of a square by its sums, one coefficient after the other."""
    n = len(x)
    result = np.zeros((n, n))
    for u in range(n):
        for v in range(n):
            scale = math.sqrt((1 if u == 0 else 2) / n) * math.sqrt((1 if v == 0 else 2) / n)
            for i in range(n):
                for j in range(n):
                    wave = math.cos(math.pi * u * (i + 0.5) / n)
                    wave *= math.cos(math.pi * v * (j + 0.5) / n)
                    result[u, v] += scale * wave * x[i, j]
    return result


@pytest.mark.parametrize("size", [1, 2, 10, 299])
def test_matrix_is_orthonormal(size: Any) -> None:
    matrix = dct_matrix(size).astype(np.float32)
    assert np.abs(matrix @ matrix.T - np.eye(size)).max() < 1e-5


def test_images_go_there_and_back() -> None:
    x = np.random.default_rng(0).uniform(-1, 1, (2, 7, 7, 3)).astype(np.float32)
    coefficients = jax.jit(dct2)(x)
    for b in range(2):
        for c in range(3):
            np.testing.assert_allclose(coefficients[b, ..., c], spectrum(x[b, ..., c]), atol=1e-5)
    np.testing.assert_allclose(jax.jit(inverse_dct2)(coefficients), x, atol=1e-5)
    assert dct2(x.astype("bfloat16")).dtype == np.float32


def test_windows() -> None:
    x = np.random.default_rng(0).uniform(0, 255, (2, 9, 12)).astype(np.float32)
    got = jax.jit(lambda x: windowed_dct(x, 4, 2, 1))(x)
    assert got.shape == (2, 4, 6, 16)
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1)))
    for b, i, j in np.ndindex(got.shape[:3]):
        window = padded[b, 2 * i : 2 * i + 4, 2 * j : 2 * j + 4]
        np.testing.assert_allclose(got[b, i, j].reshape(4, 4), spectrum(window), atol=2e-3)


def test_both_ends_of_a_band_belong_to_it() -> None:
    edges = ((0, 106), (106, 149), (149, 598), (0, 598))
    assert [int(band(299, *ends).sum()) for ends in edges] == [5778, 5654, 78226, 89401]
    width = 20 / 6
    counts = [int(band(10, m * width, (m + 1) * width).sum()) for m in range(6)]
    assert counts == [10, 18, 36, 30, 12, 3]
    np.testing.assert_array_equal(band(3, 1, 2), [[0, 1, 1], [1, 1, 0], [1, 0, 0]])
