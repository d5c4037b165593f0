"""Face X-ray's and FWA's pairs, and what all kinds of pairs have in common."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from faces import face, picture
from hypothesis import given, settings
from hypothesis import strategies as st

from data_pipeline.landmarks import canonical
from data_pipeline.training import ops
from data_pipeline.training.blend import FWA, PAIRS, FaceXray, masks, sheet
from data_pipeline.training.blend.face_warping import inner_square
from data_pipeline.training.example import Example

SIZE = 64
KINDS = sorted(PAIRS)


def example(count: int = 68, seed: int = 0) -> Example:
    return Example(picture(seed), 0, face(count).astype(np.float32))


def donor(count: int = 68) -> Example:
    points = face(count, size=0.4, at=(16, 20)).astype(np.float32)
    return Example(picture(7), 0, points)


def pair(kind: str, seed: int = 0, count: int = 68, **fields: Any) -> tuple[Example, Example]:
    op = PAIRS[kind](**({"size": SIZE} | fields))
    given = donor(count) if op.needs_donor else None
    return op.pair(example(count), np.random.default_rng(seed), given)


def mask_of(made: Example) -> np.ndarray:
    assert made.mask is not None
    return made.mask


def test_only_face_x_ray_has_donors() -> None:
    assert [kind for kind in KINDS if PAIRS[kind]().needs_donor] == ["face_xray"]
    for kind in KINDS:
        assert PAIRS[kind]().reads == ("landmarks_dense",)
        assert PAIRS[kind](outline="five").reads == ("landmarks",)


@pytest.mark.parametrize("count", [5, 68])
@pytest.mark.parametrize("kind", KINDS)
def test_a_pair_is_a_real_and_a_fake_and_follows_its_seed(kind: str, count: int) -> None:
    real, fake = pair(kind, count=count)
    for first, second in zip((real, fake), pair(kind, count=count), strict=True):
        np.testing.assert_array_equal(first.image, second.image)
        np.testing.assert_array_equal(first.mask, second.mask)
    assert not np.array_equal(real.image, pair(kind, seed=1, count=count)[0].image)
    assert (real.label, fake.label) == (0, 1)
    for made in (real, fake):
        assert made.image.shape == (SIZE, SIZE, 3) and made.image.dtype == np.uint8
        assert mask_of(made).shape == (SIZE, SIZE) and mask_of(made).dtype == np.uint8
    np.testing.assert_array_equal(real.landmarks, fake.landmarks)
    assert not mask_of(real).any() and mask_of(fake).any()


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), kind=st.sampled_from(["face_xray", "fwa"]))
def test_where_the_mask_is_0_a_fake_is_the_real_image(seed: int, kind: str) -> None:
    op = PAIRS[kind]()
    made_of, lent = example(seed=seed % 5), donor()
    before = made_of.image.copy(), lent.image.copy()
    points = np.asarray(made_of.landmarks)
    made = op._blend(made_of, points, np.random.default_rng(seed), lent)
    np.testing.assert_array_equal(made.target, made_of.image)
    np.testing.assert_array_equal(made.fake[made.mask == 0], made.target[made.mask == 0])
    assert (made.fake != made.target).any()
    np.testing.assert_array_equal(made_of.image, before[0])
    np.testing.assert_array_equal(lent.image, before[1])


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("kind", KINDS)
def test_a_pair_shares_what_is_drawn_after_blending(kind: str, seed: int) -> None:
    """Where the masks are 0, pixelwise changes and the crop leave real and fake the same."""
    shared = (ops.HueSaturationValue(p=1.0), ops.BrightnessContrast(p=1.0))
    real, fake = pair(kind, seed, shared=shared)
    plain, _ = pair(kind, seed, shared=())
    assert not np.array_equal(real.image, plain.image)
    # Resizing mixes neighbours: a little farther from the mask.
    same = cv2.dilate(mask_of(fake), np.ones((7, 7), np.uint8)) == 0
    np.testing.assert_array_equal(real.image[same], fake.image[same])


def test_the_donors_face_is_seen_where_the_mask_is_whole() -> None:
    """A donor that is red all over leaves red, once colours are left as they are."""
    red = dataclasses.replace(donor(), image=np.full((90, 80, 3), (250, 10, 10), np.uint8))
    op = FaceXray(size=SIZE, shared=(), colours=("means",))
    _, fake = op.pair(example(), np.random.default_rng(0), red)
    whole = mask_of(fake) == 255
    assert whole.sum() > 100
    # One colour, the target's mean: what was there is gone.
    assert fake.image[whole].std(axis=0).max() < 4
    real, _ = op.pair(example(), np.random.default_rng(0), red)
    assert real.image[whole].std(axis=0).max() > 10


def test_a_soft_mask_has_an_x_ray() -> None:
    values = [np.unique(mask_of(pair("face_xray", seed)[1])) for seed in range(5)]
    for seen in values:
        xray = 4 * (seen / 255) * (1 - seen / 255)
        assert xray.max() > 0.8 and seen.max() >= 250


def test_fwa_loses_detail_within_the_inner_face_and_keeps_its_place() -> None:
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 255, (300, 260, 3)).astype(np.uint8)
    points = face(68, size=2.0, at=(20, 20))
    for partial in (0.0, 1.0):
        op = FWA(sizes=(64, 64), partial=partial)
        made = op._blend(Example(noise, 0, points), points, np.random.default_rng(1), None)
        inside = cv2.erode(made.mask, np.ones((9, 9), np.uint8)) > 0
        assert made.fake[inside].std() < 0.3 * noise[inside].std()
        assert set(np.unique(made.mask)) == {0, 255}
        square = cv2.contourArea(inner_square(points).astype(np.float32))
        share = (made.mask > 0).sum() / square
        assert share == pytest.approx(1, abs=0.05) if not partial else 0.3 < share < 0.9
    smooth = cv2.GaussianBlur(noise, (0, 0), 12)
    made = FWA(sizes=(64, 64))._blend(Example(smooth, 0, points), points, rng, None)
    assert np.abs(made.fake.astype(int) - smooth).max() <= 6  # nothing has moved


def test_the_inner_square_turns_and_grows_with_the_face() -> None:
    points = canonical.POINTS
    square = inner_square(points)
    turn = cv2.getRotationMatrix2D((0.0, 0.0), 20, 1.5)
    moved = inner_square((points @ turn[:, :2].T + turn[:, 2]).astype(np.float32))
    np.testing.assert_allclose(moved, square @ turn[:, :2].T + turn[:, 2], atol=1e-2)
    inner = points[17:68]
    assert (inner >= square[0] - 1e-3).all() and (inner <= square[2] + 1e-3).all()


@pytest.mark.parametrize("kind", ["face_xray", "fwa"])
@pytest.mark.parametrize("count", [5, 68])
def test_landmarks_that_span_little_still_give_a_pair(kind: str, count: int) -> None:
    for points in (face(81, at=(-15, 18)), np.stack([np.linspace(5, 60, 81)] * 2, axis=1)):
        five = canonical.five_points(points) if count == 5 else points[:count]
        made_of = Example(picture(0), 0, five.astype(np.float32))
        lent = donor(count)
        for seed in range(4):
            op = PAIRS[kind](size=SIZE, mirror=0.0)
            for made in op.pair(made_of, np.random.default_rng(seed), lent):
                assert made.image.shape == (SIZE, SIZE, 3)


def test_fwa_warps_something_where_landmarks_coincide() -> None:
    """Or the real image would have the label of a fake."""
    made_of = Example(picture(0), 0, np.full((5, 2), 20, np.float32))
    _, fake = PAIRS["fwa"](size=SIZE, mirror=0.0).pair(made_of, np.random.default_rng(0))
    assert fake.label == 1 and fake.mask is not None and fake.mask.any()


def test_a_mask_bends_as_far_as_it_is_told() -> None:
    mask = np.zeros((80, 80), np.uint8)
    mask[20:60, 20:60] = 255
    np.testing.assert_array_equal(masks.bend(mask, np.random.default_rng(0), amount=0.0), mask)
    bent = masks.bend(mask, np.random.default_rng(0), amount=0.1)
    assert 0.02 < ((bent > 127) != (mask > 127)).mean() < 0.2


def test_what_makes_no_pair_is_refused() -> None:
    draw = np.random.default_rng(0)
    with pytest.raises(ValueError, match="no donor: FaceXray puts the face of another real"):
        FaceXray().pair(example(), draw)
    with pytest.raises(ValueError, match="donor has 5 landmarks and the target 68"):
        FaceXray().pair(example(), draw, donor(5))
    with pytest.raises(ValueError, match="label 1: FaceXray makes fakes of real ones"):
        FaceXray().pair(example(), draw, dataclasses.replace(donor(), label=1))
    with pytest.raises(ValueError, match="no landmarks: FWA needs"):
        FWA().pair(Example(picture(0), 0), draw)
    for op, fields, message in (
        (FaceXray, {"regions": ("nose",)}, "regions .* some of hull"),
        (FaceXray, {"colours": ()}, "colours .* some of means, lab"),
        (FaceXray, {"mask_sizes": (200, 100)}, "mask_sizes"),
        (FaceXray, {"bend": (0.2, 0.1)}, "bend"),
        (FaceXray, {"erode": 0}, "erode 0"),
        (FWA, {"sizes": (64, 32)}, "sizes"),
        (FWA, {"blur": 4}, "blur 4: an odd number"),
        (FWA, {"margin": (0.1, 0.5)}, "margin"),
    ):
        with pytest.raises(ValueError, match=message):
            op(**fields)


@pytest.mark.parametrize("kind", ["face_xray", "fwa"])
def test_a_sheet_shows_any_kind(tmp_path: Path, kind: str) -> None:
    for i in range(3):
        cv2.imwrite(str(tmp_path / f"{i}.png"), picture(i))
    paths = sheet.image_files(tmp_path)
    drawn = sheet.contact_sheet(paths, lambda image: face(68), num=2, seed=0, kind=kind)
    assert drawn.shape == (2 * 380, 3 * 380, 3)
    with pytest.raises(sheet.SheetError, match="1 face in 1 images"):
        sheet.contact_sheet(paths[:1], lambda image: face(68), num=2, seed=0, kind="face_xray")
