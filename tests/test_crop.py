"""Alignment of faces."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_pipeline.extract.crop import box_transform, crop_face, similarity_transform, template


def apply(matrix: Any, points: Any) -> Any:
    return points @ matrix[:, :2].T + matrix[:, 2]


@settings(max_examples=50, deadline=None)
@given(
    st.floats(0.2, 5),
    st.floats(-3.1, 3.1),
    st.floats(-100, 100),
    st.floats(-100, 100),
)
def test_a_similarity_is_recovered_exactly(scale: Any, angle: Any, dx: Any, dy: Any) -> None:
    points = template(380)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    moved = scale * points @ turn.T + (dx, dy)
    np.testing.assert_allclose(apply(similarity_transform(moved, points), moved), points, atol=1e-6)


def test_least_squares_beats_neighbouring_similarities() -> None:
    draw = np.random.default_rng(0)
    source, target = template(112) + draw.normal(0, 4, (5, 2)), template(112)
    best = similarity_transform(source, target)
    error = np.sum((apply(best, source) - target) ** 2)
    for change in draw.normal(0, 1e-3, (20, 2)):
        a, b = best[0, 0] + change[0], best[1, 0] + change[1]
        other = np.array([[a, -b, best[0, 2]], [b, a, best[1, 2]]])
        assert np.sum((apply(other, source) - target) ** 2) >= error
    assert np.linalg.det(best[:, :2]) > 0


def test_the_template_is_centred_with_its_margin() -> None:
    points = template(380)
    assert points[:, 0].min() == pytest.approx((38.2946 - 56) / (112 * 1.3) * 380 + 190)
    assert points[3, 1] == pytest.approx((92.3655 - 56) / (112 * 1.3) * 380 + 190)


def test_a_box_crop_is_the_enlarged_square_around_its_centre() -> None:
    corners = np.array([[100 - 65, 200 - 65], [100 + 65, 200 + 65]], float)
    matrix = box_transform(np.array([70, 150, 130, 250]), 380)  # 60 × 100 around (100, 200)
    np.testing.assert_allclose(apply(matrix, corners), [[0, 0], [380, 380]], atol=1e-9)


def test_outside_the_image_its_border_is_reflected() -> None:
    image = np.random.default_rng(0).integers(0, 255, (100, 100, 3), dtype=np.uint8)
    crop = crop_face(image, np.array([0, 0, 100, 100]), template(100), size=130, alignment="box")
    wanted = cv2.copyMakeBorder(image, 15, 15, 15, 15, cv2.BORDER_REFLECT_101)
    np.testing.assert_array_equal(crop, wanted)


def test_what_cannot_be_aligned_is_refused() -> None:
    image, box = np.zeros((10, 10, 3), np.uint8), np.array([0, 0, 5, 5])
    with pytest.raises(ValueError, match="coincide"):
        crop_face(image, box, np.ones((5, 2)), size=32, alignment="similarity")
    with pytest.raises(ValueError, match="similarity, box"):
        crop_face(image, box, template(10), size=32, alignment="centre")
