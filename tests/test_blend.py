"""Self-blended images."""

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
from data_pipeline.landmarks.mirrored import MIRRORED
from data_pipeline.training import ops
from data_pipeline.training.blend import SelfBlend, masks, sheet, transforms
from data_pipeline.training.blend.regions import LAYOUTS, REGIONS, dense_points, region_hulls
from data_pipeline.training.example import Example

SIZE = 64


def example(count: int = 68, seed: int = 0) -> Example:
    return Example(picture(seed), 0, face(count).astype(np.float32))


def pair(made_of: Example, seed: int = 0, **fields: Any) -> tuple[Example, Example]:
    return SelfBlend(**({"size": SIZE} | fields)).pair(made_of, np.random.default_rng(seed))


def mask_of(made: Example) -> np.ndarray:
    assert made.mask is not None
    return made.mask


@pytest.mark.parametrize("count", LAYOUTS)
def test_parts_of_a_layout_are_points_of_it_and_sides_mirror_each_other(count: int) -> None:
    parts = LAYOUTS[count]
    assert set(parts) == set(LAYOUTS[68])
    assert all(0 <= i < count for indices in parts.values() for i in indices)
    if count in MIRRORED:
        mirror = MIRRORED[count]
        for name in parts:
            other = name.replace("left", "*").replace("right", "left").replace("*", "right")
            assert {mirror[i] for i in parts[name]} == set(parts[other]), name


@pytest.mark.parametrize("count", MIRRORED)
def test_a_mirror_in_a_mirror_is_none(count: int) -> None:
    mirror = MIRRORED[count]
    assert [mirror[i] for i in mirror] == list(range(count))


def test_a_mean_face_goes_where_the_five_points_are() -> None:
    angle, scale = 0.3, 2.0
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    wanted = canonical.POINTS @ turn.T + (100, 50)
    fitted = canonical.fit(canonical.five_points(wanted))
    np.testing.assert_allclose(fitted, wanted, atol=1e-3)


def test_five_points_get_another_outline_at_each_draw_and_dense_ones_stay() -> None:
    five = face(5)
    first, second = (dense_points(five, np.random.default_rng(i), 0.03) for i in range(2))
    assert first.shape == (81, 2) and not np.allclose(first, second)
    assert np.abs(first - face()).max() < 0.2 * np.ptp(face()[:, 0])
    np.testing.assert_array_equal(dense_points(face(68), np.random.default_rng(0), 0.03), face(68))
    with pytest.raises(ValueError, match=r"of 7 landmarks; .* 5, 68, 81, 468"):
        dense_points(np.zeros((7, 2)), np.random.default_rng(0), 0.0)


def test_every_region_is_part_of_the_hull_and_the_forehead_can_be_left_out() -> None:
    points = face(size=2.0, at=(0, 0))
    still = np.eye(2, 3, dtype=np.float32)

    def area(region: str, forehead: bool = True) -> np.ndarray:
        hulls = region_hulls(points, region, forehead=forehead)
        return masks.fill(hulls, (300, 250), still) > 0

    whole = area("hull")
    for region in REGIONS:
        inside = area(region)
        assert 0.1 < inside.sum() / whole.sum() <= 1.0
        assert not (inside & ~whole).any()
    assert area("hull", forehead=False).sum() < 0.9 * whole.sum()
    assert area("raised").sum() > area("components").sum()


def test_brows_are_raised_by_half_the_way_to_the_eyes_in_whole_pixels() -> None:
    points = face(68).copy()
    parts = LAYOUTS[68]
    for side in ("left", "right"):
        points[list(parts[f"brow_{side}"]), 1] = 20
        points[list(parts[f"brow_{side}"]), 0] = points[list(parts[f"eye_top_{side}"]), 0].mean()
        points[list(parts[f"eye_top_{side}"]), 1] = 27
    tops = [
        min(hull[:, 1].min() for hull in region_hulls(points, region))
        for region in ("components", "raised")
    ]
    assert tops == pytest.approx([20, 17], abs=1e-3)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), count=st.sampled_from([68, 81]))
def test_outside_the_mask_a_fake_is_the_target(seed: int, count: int) -> None:
    image = picture(seed % 5)
    before = image.copy()
    made = SelfBlend(ratios=(0.5,)).blend(image, face(count), np.random.default_rng(seed))
    assert made.mask.dtype == made.fake.dtype == np.uint8
    assert made.mask.shape == image.shape[:2] and made.fake.shape == image.shape
    np.testing.assert_array_equal(made.fake[made.mask == 0], made.target[made.mask == 0])
    assert 0 < made.mask.max() <= 128  # the ratio times 1
    assert (made.fake[made.mask > 0] != made.target[made.mask > 0]).any()
    np.testing.assert_array_equal(image, before)


def test_source_and_target_are_changed_equally_often() -> None:
    image = picture(1)
    blends = [SelfBlend().blend(image, face(), np.random.default_rng(i)) for i in range(100)]
    untouched = sum(np.array_equal(made.target, image) for made in blends)
    assert 35 <= untouched <= 65


@pytest.mark.parametrize("count", [5, 68])
def test_a_pair_is_a_real_and_a_fake_and_follows_its_seed(count: int) -> None:
    made_of = example(count)
    image = made_of.image.copy()
    real, fake = pair(made_of)
    again = pair(made_of)
    for first, second in zip((real, fake), again, strict=True):
        np.testing.assert_array_equal(first.image, second.image)
        np.testing.assert_array_equal(first.landmarks, second.landmarks)
        np.testing.assert_array_equal(first.mask, second.mask)
    assert not np.array_equal(real.image, pair(made_of, seed=1)[0].image)
    assert (real.label, fake.label) == (0, 1)
    for made in (real, fake):
        assert made.image.shape == (SIZE, SIZE, 3) and made.image.dtype == np.uint8
        assert mask_of(made).shape == (SIZE, SIZE) and mask_of(made).dtype == np.uint8
        assert made.landmarks is not None and made.landmarks.shape == (count, 2)
        assert made.landmarks.dtype == np.float32
    assert not mask_of(real).any() and mask_of(fake).any()
    np.testing.assert_array_equal(real.landmarks, fake.landmarks)
    np.testing.assert_array_equal(made_of.image, image)


def test_dense_landmarks_are_taken_before_the_five_and_all_of_it_moves_along() -> None:
    five = canonical.five_points(face())
    made_of = dataclasses.replace(
        example(68), landmarks=five, landmarks_dense=face(68), box=np.array([14, 24, 60, 78.0])
    )
    for seed in range(4):
        real, fake = pair(made_of, seed)
        alone, _ = pair(dataclasses.replace(made_of, landmarks=None), seed)
        np.testing.assert_array_equal(real.image, alone.image)  # the five decide nothing
        np.testing.assert_allclose(
            canonical.five_points(real.landmarks_dense), real.landmarks, atol=1e-3
        )
        assert real.landmarks_dense.shape == (68, 2) and real.box.shape == (4,)
        for name in ("landmarks", "landmarks_dense", "box"):
            np.testing.assert_array_equal(getattr(real, name), getattr(fake, name))


@pytest.mark.parametrize("seed", range(6))
def test_a_pair_shares_what_is_drawn_after_blending(seed: int) -> None:
    """A source that is the target leaves nothing but the shared changes."""
    same: Any = {"mismatch": (), "shift": (0.0, 0.0), "scale": 1.0}
    real, fake = pair(example(), seed, **same, shared=ops.PRESETS["strong"])
    np.testing.assert_array_equal(real.landmarks, fake.landmarks)
    np.testing.assert_array_equal(real.image, fake.image)
    plain, _ = pair(example(), seed, **same, shared=())
    assert not np.array_equal(real.image, plain.image)


@pytest.mark.parametrize("mirror", [0.0, 1.0])
def test_landmarks_go_where_the_image_goes(mirror: float) -> None:
    image = np.zeros((90, 80, 3), np.uint8)
    points = face(68)
    left_corner = points[48]
    cv2.circle(image, tuple(np.rint(left_corner).astype(int).tolist()), 2, (255, 255, 255), -1)
    real, _ = pair(
        Example(image, 0, points), mirror=mirror, mismatch=(), shared=(), margin=(0.125, 0.125)
    )
    found = np.argwhere(real.image[..., 0] > 128).mean(0)[::-1]
    assert real.landmarks is not None
    np.testing.assert_allclose(found, real.landmarks[54 if mirror else 48], atol=1.5)
    # 12.5 % of the box at each side of it.
    box = np.ptp(real.landmarks, axis=0)
    np.testing.assert_allclose(box / SIZE, 1 / 1.25, atol=0.04)


OUTSIDE = {
    "partly": face(at=(-15, 18)),
    "all": face(at=(500, -400)),
    "far": face(size=1e6),
    "on a line": np.stack([np.linspace(5, 60, 81)] * 2, axis=1),
    "one point": np.full((81, 2), 30.0),
    "not known": np.full((81, 2), np.nan),
}


@pytest.mark.parametrize("count", [5, 81])
@pytest.mark.parametrize("where", OUTSIDE)
def test_landmarks_that_span_nothing_in_the_image_still_give_a_pair(where: str, count: int) -> None:
    points = OUTSIDE[where].astype(np.float32)
    if count == 5:
        points = canonical.five_points(points)
    made_of = Example(picture(0), 0, points)
    for seed in range(8):
        real, fake = pair(made_of, seed, mirror=0.0)
        assert real.image.shape == fake.image.shape == (SIZE, SIZE, 3)
        assert real.image.std() > 0


@pytest.mark.parametrize("shape", [(1, 1), (2, 9), (8, 8)])
def test_tiny_images_are_blended_too(shape: tuple[int, int]) -> None:
    image = picture(0)[: shape[0], : shape[1]]
    made = SelfBlend().blend(image, face(size=0.05, at=(1, 1)), np.random.default_rng(0))
    assert made.fake.shape == image.shape


def test_a_degenerate_hull_becomes_an_ellipse() -> None:
    line = np.array([[0, 0], [50, 0]], np.float32)
    mask = masks.fill([line], (60, 80), np.eye(2, 3, dtype=np.float32))
    assert mask[30, 40] == 255 and mask[2, 2] == 0
    assert 0.3 < (mask > 0).mean() < 0.6


def test_a_mask_is_deformed_as_far_as_the_noise_says() -> None:
    ramp = np.tile(np.arange(256, dtype=np.uint8), (256, 1))
    moved = masks.deform(ramp, (256, 256), np.random.default_rng(0), alpha=50, sigma=7) * 255
    offset = (moved - ramp)[16:-16, 16:-16]
    # Uniform noise has 1 / √3; smoothing divides by 2·√π·sigma.
    assert offset.std() == pytest.approx(50 / np.sqrt(3) / (2 * np.sqrt(np.pi) * 7), rel=0.1)
    assert abs(offset.mean()) < 0.4


def test_a_mask_is_softened_inwards() -> None:
    mask = np.zeros((60, 60), np.float32)
    mask[20:40, 10:50] = 1
    soft = masks.soften(mask, np.random.default_rng(0), sizes=(5,), sigmas=(5, 45))
    assert soft.max() == 1 and soft.min() == 0
    assert not soft[mask == 0].any()  # shrunk by 2 pixels, then spread over 2
    assert (soft[24:36, 14:46] == pytest.approx(1.0, abs=1e-4)) and 0 < soft[20, 30] < 0.5


def test_what_makes_no_pair_is_refused() -> None:
    with pytest.raises(ValueError, match="label 1: SelfBlend makes fakes of real ones"):
        pair(dataclasses.replace(example(), label=1))
    with pytest.raises(ValueError, match="no landmarks: SelfBlend needs 5, 68, 81 or 468"):
        pair(Example(picture(0), 0))
    with pytest.raises(ValueError, match="of 6 landmarks"):
        pair(Example(picture(0), 0, np.zeros((6, 2), np.float32)), mirror=0.0)
    with pytest.raises(ValueError, match=r"margin \(0.05, 0.5\): .* from -0.2 to 0.4"):
        SelfBlend(margin=(0.05, 0.5))


@pytest.mark.parametrize(
    "op",
    [
        transforms.RGBShift(1.0),
        transforms.ShrinkGrow(),
        transforms.Sharpen(),
        transforms.OneOf((transforms.ShrinkGrow(), transforms.Sharpen())),
    ],
    ids=lambda op: type(op).__name__,
)
def test_changes_keep_shape_and_type_and_vary(op: Any) -> None:
    image = picture(2, 31, 17)
    before = image.copy()
    outputs = [op.change(image, np.random.default_rng(seed)) for seed in range(8)]
    assert all(out.shape == image.shape and out.dtype == np.uint8 for out in outputs)
    assert len({out.tobytes() for out in outputs}) > 1
    np.testing.assert_array_equal(image, before)


def test_changes_do_what_they_say() -> None:
    draw = np.random.default_rng(0)
    grey = np.full((8, 8, 3), 100, np.uint8)
    shifted = transforms.RGBShift(1.0, limit=20).change(grey, draw)
    assert (np.ptp(shifted, axis=(0, 1)) == 0).all() and len(np.unique(shifted[0, 0])) == 3
    assert np.abs(shifted.astype(int) - 100).max() <= 20
    sharp = transforms.Sharpen(alpha=(0.5, 0.5), lightness=(1, 1))
    np.testing.assert_array_equal(sharp.change(grey, draw), grey)
    edge = grey.copy()
    edge[:, 4:] = 150
    assert np.ptp(sharp.change(edge, draw)) > 50
    dots = np.zeros((16, 16, 3), np.uint8)
    dots[::2] = 200
    assert np.ptp(transforms.ShrinkGrow(factors=(2,)).change(dots, draw)) == 0


def test_a_move_keeps_within_its_limits() -> None:
    for seed in range(50):
        draw = np.random.default_rng(seed)
        matrix = transforms.draw_move((100, 200), draw, shift=(0.03, 0.015), scale=0.95)
        centre = np.array([99.5, 49.5])
        assert matrix[0, 0] == matrix[1, 1] and 0.95 <= matrix[0, 0] <= 1 / 0.95
        assert matrix[0, 1] == matrix[1, 0] == 0
        assert (np.abs(matrix[:, :2] @ centre + matrix[:, 2] - centre) <= (6.01, 1.51)).all()


def test_a_sheet_has_a_row_for_each_face(tmp_path: Path) -> None:
    for i in range(3):
        cv2.imwrite(str(tmp_path / f"{i}.png"), picture(i))
    (tmp_path / "broken.png").write_bytes(b"none")
    (tmp_path / "empty.png").touch()
    seen: list[int] = []

    def find(image: np.ndarray) -> np.ndarray | None:
        seen.append(1)
        return None if len(seen) == 1 else face(68)

    paths = sheet.image_files(tmp_path)
    drawn = sheet.contact_sheet(paths, find, num=8, seed=0)
    assert drawn.shape == (2 * 380, 3 * 380, 3)
    with pytest.raises(sheet.SheetError, match="no face in 5 images"):
        sheet.contact_sheet(paths, lambda image: None, num=8, seed=0)


def test_the_sheet_command_says_what_is_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "sheet.png"
    assert sheet.COMMAND([f"--images={tmp_path}", f"--out={out}"]) == 1
    assert "no images in" in capsys.readouterr().err
    assert sheet.COMMAND([f"--images={tmp_path / 'no'}", f"--out={out}"]) == 1
    assert "no folder" in capsys.readouterr().err
    assert sheet.COMMAND([f"--images={tmp_path}", f"--out={out}.xyz"]) == 1
    assert "wanted a file that ends in .png" in capsys.readouterr().err
    assert not out.exists()
