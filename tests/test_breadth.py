"""Another scene for both of a pair: ground, occluders, light, gamma, rotation."""

from __future__ import annotations

import dataclasses
from typing import Any

import cv2
import numpy as np
import pytest
from faces import face, picture

from data_pipeline.training.blend import Breadth, FaceXray, SelfBlend
from data_pipeline.training.blend.breadth import harmonic_light
from data_pipeline.training.blend.broad import BROAD, broad_op
from data_pipeline.training.example import Example
from matnet_jax.config import default_config
from matnet_jax.config.check import validate

STEPS = ("background", "occluders", "lighting", "gamma", "rotation")
SAME: dict[str, Any] = {"mismatch": (), "shift": (0.0, 0.0), "scale": 1.0, "shared": ()}
BOX = np.array([[20.0, 25.0], [60.0, 70.0]])


def both(seed: int = 0) -> tuple[Example, Example]:
    mask = np.zeros((90, 80), np.uint8)
    mask[30:65, 25:55] = 200
    real = Example(picture(seed), 0, face(68), mask=np.zeros_like(mask), box=BOX.reshape(-1))
    forged = real.image.copy()
    forged[mask > 0] = 255 - forged[mask > 0]
    return real, dataclasses.replace(real, label=1, image=forged, mask=mask)


def changed(breadth: Breadth, seed: int = 0) -> tuple[Example, Example]:
    return breadth.change(*both(), BOX, seed)


def mask_of(example: Example) -> np.ndarray:
    assert example.mask is not None
    return example.mask


@pytest.mark.parametrize("step", STEPS)
def test_both_of_a_pair_are_seen_in_one_scene(step: str) -> None:
    made_of = Example(picture(0), 0, face())
    plain, _ = SelfBlend(size=48, **SAME).pair(made_of, np.random.default_rng(0))
    op = SelfBlend(size=48, breadth=Breadth(**{step: 1.0}), **SAME)
    for seed in range(3):
        real, fake = op.pair(made_of, np.random.default_rng(seed))
        np.testing.assert_array_equal(real.image, fake.image)
        np.testing.assert_array_equal(real.landmarks, fake.landmarks)
        assert not np.array_equal(real.image, plain.image)
        assert not mask_of(real).any() and mask_of(fake).any()
        again, _ = op.pair(made_of, np.random.default_rng(seed))
        np.testing.assert_array_equal(real.image, again.image)


@pytest.mark.parametrize("step", ["occluders", "lighting", "gamma"])
def test_where_nothing_was_forged_both_stay_alike(step: str) -> None:
    for seed in range(5):
        given = both()
        before = [example.image.copy() for example in given]
        real, fake = Breadth(**{step: 1.0}).change(given[0], given[1], BOX, seed)
        same = mask_of(fake) == 0
        difference = np.abs(real.image.astype(int) - fake.image)[same]
        assert difference.max() <= 1  # of rounding, at an occluder's soft edge
        assert (real.image != fake.image)[~same].any()
        for example, image in zip(given, before, strict=True):
            np.testing.assert_array_equal(example.image, image)


def test_what_is_off_is_not_done() -> None:
    given = both()
    assert Breadth().change(*given, BOX, 0) == given


def test_an_occluder_hides_what_was_forged_but_not_most_of_it() -> None:
    _, before = both()
    shares = []
    for seed in range(40):
        real, fake = changed(Breadth(occluders=1.0, occluder_size=(0.6, 0.9)), seed)
        hidden = (mask_of(before) > 0) & (mask_of(fake) == 0)
        np.testing.assert_array_equal(real.image[hidden], fake.image[hidden])
        shares.append(mask_of(fake).sum() / mask_of(before).sum())
    assert 0.5**3 * 0.9 < min(shares) < 0.8 and max(shares) == 1.0


def test_light_has_the_mean_and_the_deviation_that_it_is_told_over_the_face() -> None:
    shape, box = (200, 160), np.array([[40.0, 50.0], [120.0, 150.0]])
    fields = [harmonic_light(shape, box, np.random.default_rng(i), strength=0.2) for i in range(10)]
    for light in fields:
        inside = light[50:150, 40:120]
        assert inside.mean() == pytest.approx(1, abs=0.05) and light.min() >= 0.2
        assert inside.std() == pytest.approx(0.2, abs=0.05)
        assert np.abs(np.diff(light, axis=0)).max() < 0.1  # smooth
    assert np.ptp([light[100, 50] for light in fields]) > 0.2
    even = harmonic_light(shape, box, np.random.default_rng(0), strength=0.0)
    np.testing.assert_allclose(even, 1.0)


def test_gamma_stays_within_its_range() -> None:
    grey = np.full((90, 80, 3), 128, np.uint8)
    given = [dataclasses.replace(example, image=grey) for example in both()]
    seen = []
    for seed in range(10):
        real, _ = Breadth(gamma=1.0, gamma_range=(0.5, 2.0)).change(given[0], given[1], BOX, seed)
        seen += [real.image.min(), real.image.max()]
    low, high = 255 * (128 / 255) ** 2, 255 * (128 / 255) ** 0.5
    assert low - 1 <= min(seen) < 90 and 160 < max(seen) <= high + 1


def test_the_head_stays_in_focus() -> None:
    real, fake = both()
    done = changed(Breadth(background=1.0))
    middle = (slice(30, 65), slice(25, 55))
    for before, after in zip((real, fake), done, strict=True):
        np.testing.assert_array_equal(before.image[middle], after.image[middle])
    assert not np.array_equal(done[0].image[:5, :5], real.image[:5, :5])


def test_points_and_mask_turn_with_the_image_and_the_box_stays() -> None:
    real, fake = both()
    corner = np.asarray(real.landmarks)[48]
    image = np.zeros((90, 80, 3), np.uint8)
    cv2.circle(image, tuple(np.rint(corner).astype(int).tolist()), 2, (255, 255, 255), -1)
    mask = np.zeros((90, 80), np.uint8)
    mask[image[..., 0] > 0] = 255
    given = [dataclasses.replace(example, image=image, mask=mask) for example in (real, fake)]
    for seed in range(5):
        turned, _ = Breadth(rotation=1.0, rotation_degrees=40.0).change(
            given[0], given[1], BOX, seed
        )
        place = np.argwhere(turned.image[..., 0] > 128).mean(0)[::-1]
        np.testing.assert_allclose(place, np.asarray(turned.landmarks)[48], atol=1)
        np.testing.assert_allclose(np.argwhere(mask_of(turned)).mean(0)[::-1], place, atol=1)
        np.testing.assert_array_equal(turned.box, real.box)


def test_faces_without_an_extent_have_scenes_too() -> None:
    everything = Breadth(**dict.fromkeys(STEPS, 1.0))
    for points in (np.full((81, 2), np.nan), np.full((81, 2), 30.0), face(at=(500, -400))):
        made_of = Example(picture(0), 0, points.astype(np.float32))
        for seed in range(4):
            op = SelfBlend(size=32, breadth=everything, mirror=0.0)
            for made in op.pair(made_of, np.random.default_rng(seed)):
                assert made.image.shape == (32, 32, 3)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"rotation": 2.0}, "rotation 2.0: a probability"),
        ({"gamma_range": (1.5, 0.5)}, "gamma_range .* in order"),
        ({"occluder_size": (0.1, 2.0)}, "occluder_size .* to 1"),
        ({"lighting_strength": -1.0}, "lighting_strength -1.0: not negative"),
    ],
)
def test_options_that_make_no_sense_are_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Breadth(**fields)


def test_the_broad_options_are_fields_of_a_config_and_make_pairs() -> None:
    pytest.importorskip("av")
    config = default_config("paper", "classifier")
    config.data.source = "synthetic"
    for section, values in BROAD.items():
        config[section].update(values)
    validate(config)
    made_of, lent = (Example(picture(i), 0, face()) for i in range(2))
    for kind in ("self_blended", "face_xray", "fwa"):
        op = broad_op(kind, size=40)
        for seed in range(6):
            real, fake = op.pair(made_of, np.random.default_rng(seed), lent)
            again = op.pair(made_of, np.random.default_rng(seed), lent)
            np.testing.assert_array_equal(fake.image, again[1].image)
            assert (real.label, fake.label) == (0, 1) and not mask_of(real).any()
    assert isinstance(broad_op("face_xray"), FaceXray)
