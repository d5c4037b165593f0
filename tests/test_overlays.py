"""Heat over faces, and statistics of the maps."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
import pytest
from PIL import Image
from report_pages import overlay

from matnet_jax.report.overlays import Overlay, statistics, tiles


def decoded(uri: Any) -> Any:
    prefix = "data:image/jpeg;base64,"
    assert uri.startswith(prefix)
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(uri[len(prefix) :]))), np.float64)


def test_maps_share_one_scale_so_that_a_weak_map_looks_weak() -> None:
    attention = np.zeros((4, 4, 2), np.float32)
    attention[1, 1, 0], attention[1, 1, 1] = 10.0, 1.0
    made = tiles(Overlay(np.full((64, 64, 3), 128, np.uint8), attention, 1, 0.9))
    strong, weak = (decoded(uri).max(axis=(0, 1)).sum() for uri in made.maps)
    assert strong > weak + 100
    assert made.peak == 10.0


def test_heat_lies_where_the_attention_is() -> None:
    attention = np.zeros((8, 8, 1), np.float32)
    attention[6, 1, 0] = 1.0  # row 6, column 1: bottom left
    made = tiles(Overlay(np.zeros((80, 80, 3), np.uint8), attention, 0, 0.1))
    heat = decoded(made.maps[0]).sum(-1)
    row, column = np.unravel_index(heat.argmax(), heat.shape)
    assert abs(row - 65) <= 6 and abs(column - 15) <= 6


def test_dead_maps_and_large_faces_are_drawn() -> None:
    made = tiles(Overlay(np.full((600, 500, 3), 90, np.uint8), np.zeros((3, 3, 2)), 0, 0.2))
    assert made.peak == 0.0
    assert decoded(made.face).shape[0] == 224
    assert decoded(made.maps[1]).shape == decoded(made.face).shape


@pytest.mark.parametrize(
    ("image", "attention", "message"),
    [
        (np.zeros((4, 4, 3), np.float32), np.ones((2, 2, 1)), "image is float32"),
        (np.zeros((4, 4), np.uint8), np.ones((2, 2, 1)), "wanted uint8"),
        (np.zeros((4, 4, 3), np.uint8), np.ones((2, 2)), r"wanted \[h,w,M\]"),
        (np.zeros((4, 4, 3), np.uint8), np.full((2, 2, 1), np.nan), "non-finite"),
    ],
)
def test_overlays_check_what_they_are_given(image: Any, attention: Any, message: Any) -> None:
    with pytest.raises(ValueError, match=message):
        Overlay(image, attention, 0, 0.5)


def test_statistics_by_class() -> None:
    rows = {row["faces"]: row for row in statistics([overlay(0), overlay(1), overlay(1)])}
    assert {name: row["num_faces"] for name, row in rows.items()} == {
        "real": 1,
        "fake": 2,
        "all": 3,
    }
    assert rows["all"]["overlap"] == 0.0 and rows["all"]["entropy"] == 0.0
    assert statistics([]) == []
