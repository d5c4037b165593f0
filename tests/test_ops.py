"""Augmentations."""

from __future__ import annotations

import dataclasses
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_pipeline.training import ops
from data_pipeline.training.draws import stream
from data_pipeline.training.example import Example
from data_pipeline.training.ops import PRESETS, fit_example, fit_to_size

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
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)


def apply_ops(image: np.ndarray, applied: Any, seed: int) -> np.ndarray:
    return ops.apply_ops(Example(image, 0), applied, seed).image


@pytest.mark.parametrize("op", EVERY, ids=lambda op: type(op).__name__)
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), height=st.integers(8, 60), width=st.integers(8, 60))
def test_ops_keep_shape_and_type_and_follow_their_seed(
    op: Any, seed: Any, height: Any, width: Any
) -> None:
    image = picture(seed % 7, height, width)
    before = image.copy()
    first, again = (apply_ops(image, [op], seed) for _ in range(2))
    assert first.shape == image.shape and first.dtype == np.uint8
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(image, before)


@pytest.mark.parametrize("op", EVERY, ids=lambda op: type(op).__name__)
def test_ops_change_the_image_and_vary_with_the_seed(op: Any) -> None:
    image = picture(1)
    outputs = [apply_ops(image, [op], seed) for seed in range(8)]
    assert any(not np.array_equal(out, image) for out in outputs)
    if type(op) not in (ops.Flip, ops.Grey):
        assert len({out.tobytes() for out in outputs}) > 1


def test_the_probability_is_respected() -> None:
    image = picture(2)
    for p, low, high in ((0.0, 0, 0), (0.3, 60, 120), (1.0, 300, 300)):
        flipped = sum(
            not np.array_equal(apply_ops(image, [ops.Flip(p)], seed), image) for seed in range(300)
        )
        assert low <= flipped <= high


def test_an_added_op_leaves_the_draws_of_the_others_alone() -> None:
    image = picture(3)
    blur, never = ops.GaussianBlur(1.0), ops.Cutout(0.0)
    np.testing.assert_array_equal(apply_ops(image, [blur], 9), apply_ops(image, [blur, never], 9))


def test_known_values() -> None:
    image = picture(4)
    np.testing.assert_array_equal(apply_ops(image, [ops.Flip(1.0)], 0), image[:, ::-1])
    grey = apply_ops(image, [ops.Grey(1.0)], 0)
    assert (grey[..., 0] == grey[..., 1]).all() and (grey[..., 1] == grey[..., 2]).all()
    noisy = ops.GaussianNoise(1.0, (5.0, 5.0)).change(
        np.full((80, 80, 3), 128, np.uint8), np.random.default_rng(0)
    )
    assert noisy.std() == pytest.approx(5.0, rel=0.1)
    assert noisy.mean() == pytest.approx(128, abs=0.3)


def test_presets_are_frozen_and_named() -> None:
    assert list(PRESETS) == ["none", "flip", "standard", "strong", "part_removed"]
    with pytest.raises(dataclasses.FrozenInstanceError):
        PRESETS["flip"][0].p = 0.1


def test_fitting_takes_the_centre_square() -> None:
    image = picture(5, 30, 50)
    np.testing.assert_array_equal(fit_to_size(image, 30), image[:, 10:40])
    assert fit_to_size(image, 64).shape == (64, 64, 3)
    assert fit_to_size(image, 16).shape == (16, 16, 3)


GEOMETRIC = [ops.Flip(1.0), ops.RandomCrop(1.0, (0.5, 0.7))]


def marked(height: int, width: int) -> Example:
    """A white blob on black, its mask, and 5 landmarks of which the third is its centre."""
    rows, cols = np.indices((height, width))
    blob = (np.hypot(rows - 0.55 * height, cols - 0.4 * width) < 0.2 * width).astype(np.uint8) * 255
    centre = np.array([np.flatnonzero(blob.any(0)).mean(), np.flatnonzero(blob.any(1)).mean()])
    points = centre + np.array([[-5, -5], [5, -6], [0, 0], [-4, 7], [4, 8]])
    corners = np.tile(centre, 2) + np.array([-6, -9, 8, 10])
    return Example(
        np.repeat(blob[..., None], 3, -1),
        1,
        points.astype(np.float32),
        blob,
        landmarks_dense=np.tile(centre, (68, 1)).astype(np.float32),
        box=corners.astype(np.float32),
    )


def centre_of(mask: np.ndarray) -> np.ndarray:
    rows, cols = np.nonzero(mask)
    return np.array([cols.mean(), rows.mean()])


@pytest.mark.parametrize("op", EVERY, ids=lambda op: type(op).__name__)
def test_mask_and_landmarks_change_nothing_of_the_image(op: Any) -> None:
    image = picture(6, 48, 40)
    full = Example(image, 1, np.ones((5, 2), np.float32), np.zeros((48, 40), np.uint8))
    for seed in range(4):
        done = ops.apply_ops(full, [op], seed)
        np.testing.assert_array_equal(done.image, apply_ops(image, [op], seed))
        assert done.label == 1 and done.mask.dtype == np.uint8 and done.mask.shape == (48, 40)
        assert done.landmarks.dtype == np.float32 and done.landmarks.shape == (5, 2)


@pytest.mark.parametrize("op", GEOMETRIC, ids=lambda op: type(op).__name__)
@pytest.mark.parametrize("shape", [(80, 80), (80, 64)])
def test_geometric_ops_move_mask_and_landmarks_along(op: Any, shape: Any) -> None:
    example = marked(*shape)
    before = example.mask.copy(), example.landmarks.copy()
    for seed in range(8):
        done = ops.apply_ops(example, [op], seed)
        bright = done.image[..., 0] > 127
        assert set(np.unique(done.mask)) <= {0, 255}
        assert ((done.mask > 0) != bright).mean() < 0.02
        if not (bright[0].any() or bright[-1].any() or bright[:, 0].any() or bright[:, -1].any()):
            np.testing.assert_allclose(done.landmarks[2], centre_of(bright), atol=0.6)
            np.testing.assert_allclose(done.landmarks_dense[9], done.landmarks[2], atol=1e-3)
        width, height = done.box[2:] - done.box[:2]
        assert width / height == pytest.approx(14 / 19, rel=0.05)
        left = 8 if isinstance(op, ops.Flip) else 6  # in a mirror the sides change places
        assert (done.landmarks[2, 0] - done.box[0]) / width == pytest.approx(left / 14, abs=0.01)
    np.testing.assert_array_equal(example.mask, before[0])
    np.testing.assert_array_equal(example.landmarks, before[1])


@pytest.mark.parametrize("op", EVERY, ids=lambda op: type(op).__name__)
def test_only_geometric_ops_move_anything(op: Any) -> None:
    example = marked(40, 40)
    done = ops.apply_ops(example, [op], 3)
    moves = isinstance(op, ops.Flip | ops.RandomCrop)
    assert (done.mask is example.mask) != moves
    assert (done.landmarks is example.landmarks) != moves
    assert (done.landmarks_dense is example.landmarks_dense) != moves
    assert (done.box is example.box) != moves


def test_in_a_mirror_left_is_right() -> None:
    example = marked(40, 60)
    done = ops.Flip().apply(example, np.random.default_rng(0))
    np.testing.assert_array_equal(done.mask, example.mask[:, ::-1])
    # The left eye of the mirrored face is the right one's image, and so are mouth corners.
    np.testing.assert_allclose(
        done.landmarks, [(59 - x, y) for x, y in example.landmarks[[1, 0, 2, 4, 3]]]
    )
    assert done.landmarks[0, 0] < done.landmarks[1, 0]
    again = ops.Flip().apply(done, np.random.default_rng(0))
    np.testing.assert_array_equal(again.landmarks, example.landmarks)
    np.testing.assert_allclose(again.box, example.box, atol=1e-4)
    many = dataclasses.replace(example, landmarks=np.zeros((7, 2), np.float32))
    with pytest.raises(ValueError, match=r"cannot mirror 7 landmarks: .* known of 5"):
        ops.Flip().apply(many, np.random.default_rng(0))


@pytest.mark.parametrize(("height", "width", "size"), [(80, 60, 60), (60, 90, 31), (40, 40, 97)])
def test_fitting_moves_mask_and_landmarks_along(height: Any, width: Any, size: Any) -> None:
    example = marked(height, width)
    done = fit_example(example, size)
    np.testing.assert_array_equal(done.image, fit_to_size(example.image, size))
    bright = done.image[..., 0] > 127
    assert done.mask.shape == (size, size) and ((done.mask > 0) != bright).mean() < 0.02
    np.testing.assert_allclose(done.landmarks[2], centre_of(bright), atol=0.6)
    np.testing.assert_allclose(done.landmarks_dense[9], done.landmarks[2], atol=1e-3)
    sides = (done.box[2:] - done.box[:2]) * min(height, width) / size
    np.testing.assert_allclose(sides, (14, 19), rtol=1e-4)


def test_what_has_its_size_is_not_copied() -> None:
    example = marked(32, 32)
    assert fit_example(example, 32) is example
    assert np.shares_memory(fit_to_size(example.image, 32), example.image)


def face(size: int = 96) -> Example:
    """Mid-grey, with landmarks of a face whose eyes are 32 pixels apart and whose mouth has 24."""
    points = np.array([[32, 40], [64, 40], [48, 56], [36, 72], [60, 72]], np.float32)
    return Example(np.full((size, size, 3), 128, np.uint8), 0, points)


def test_a_part_of_a_face_is_removed() -> None:
    op, example = ops.RemovePart(1.0), face()
    found: dict[str, int] = dict.fromkeys(("eyes", "mouth", "nose", "nothing"), 0)
    # Within 8 pixels of the eyes' and the nose's line, and of the mouth's, which has two rows.
    boxes = {"eyes": (32, 48, 24, 72), "mouth": (64, 80, 28, 68), "nose": (32, 64, 40, 56)}
    for seed in range(400):
        black = ops.apply_ops(example, [op], seed).image.max(axis=-1) == 0
        assert ops.apply_ops(example, [op], seed).landmarks is example.landmarks
        if not black.any():
            found["nothing"] += 1
            continue
        rows, columns = np.nonzero(black)
        box = (rows.min(), rows.max(), columns.min(), columns.max())
        [name] = [n for n, want in boxes.items() if np.abs(np.subtract(box, want)).max() <= 1]
        found[name] += 1
    shares = np.array(list(found.values())) / 400
    np.testing.assert_allclose(shares, [0.5, 0.25, 0.125, 0.125], atol=0.08)
    assert (example.image == 128).all()
    with pytest.raises(ValueError, match="needs its five landmarks"):
        op.apply(Example(example.image, 0), np.random.default_rng(0))


def test_what_ops_need_of_an_example() -> None:
    assert ops.fields_of(PRESETS["strong"]) == ()
    assert ops.fields_of(PRESETS["part_removed"]) == ("landmarks",)


@pytest.mark.parametrize(("seed", "number"), [(0, 0), (7, 3), (2**32 - 1, 2**20)])
def test_streams_are_philox_of_seed_and_number(seed: int, number: int) -> None:
    plain = np.random.Generator(np.random.Philox(key=[seed, number]))
    np.testing.assert_array_equal(stream(seed, number).random(9), plain.random(9))


def test_a_shift_of_hue_goes_round_and_the_others_stop_at_their_ends() -> None:
    image = picture(4)
    op = ops.HueSaturationValue(1.0, hue=170.0, saturation=200.0, value=200.0)
    hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV_FULL).astype(int)
    for seed in range(6):
        shifts = np.random.default_rng(seed).uniform(-1, 1, 3) * (170 * 256 / 360, 200, 200)
        moved = hsv + np.floor(shifts).astype(int)
        moved[..., 0] %= 256
        want = cv2.cvtColor(np.clip(moved, 0, 255).astype(np.uint8), cv2.COLOR_HSV2RGB_FULL)
        np.testing.assert_array_equal(op.change(image, np.random.default_rng(seed)), want)


@pytest.mark.parametrize("sigma", [0.3, 0.8, 1.5])
def test_blur_is_opencvs_up_to_rounding(sigma: float) -> None:
    image = picture(4)
    ours = ops.GaussianBlur(1.0, (sigma, sigma)).change(image, np.random.default_rng(0))
    assert np.abs(ours.astype(int) - cv2.GaussianBlur(image, (0, 0), sigma)).max() <= 1
