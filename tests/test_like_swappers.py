"""What makes pseudo-fakes resemble swappers' faces: resolution, Poisson's equation, parts."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
from faces import face, picture
from hypothesis import given, settings
from hypothesis import strategies as st

from data_pipeline.training.blend import FWA, PAIRS, FaceXray, SelfBlend
from data_pipeline.training.blend.pair import Blend
from data_pipeline.training.blend.regions import REGIONS, WHOLE
from data_pipeline.training.blend.resolution import at_scale, unsharp
from data_pipeline.training.example import Example

SWAPPED: dict[str, dict[str, Any]] = {
    "self_blended": {"limited": 1.0, "widths": (8, 20), "regions": tuple(REGIONS)},
    "face_xray": {
        **{"limited": 0.5, "widths": (8, 20), "regions": tuple(REGIONS)},
        **{"poisson": 0.5, "by_landmarks": 0.5},
    },
}
# The sum of what the generators give after 30 pairs, before any of these options was there.
NEXT_DRAWS = {
    ("face_xray", 5): 2153348953,
    ("face_xray", 81): 155153887,
    ("fwa", 5): 3378932863,
    ("fwa", 81): 488690666,
    ("self_blended", 5): 1631688433,
    ("self_blended", 81): 964151985,
}


def example(count: int = 81) -> Example:
    return Example(picture(0), 0, face(count).astype(np.float32))


def donor(count: int = 81) -> Example:
    return Example(picture(7), 0, face(count, size=0.4, at=(16, 20)).astype(np.float32))


def blend(op: SelfBlend | FaceXray | FWA, seed: int, made_of: Example, lent: Example) -> Blend:
    points = np.asarray(made_of.landmarks)
    return op._blend(made_of, points, np.random.default_rng(seed), lent)


@pytest.mark.parametrize(("kind", "count"), NEXT_DRAWS)
def test_what_is_off_draws_nothing(kind: str, count: int) -> None:
    op = PAIRS[kind](size=32)
    total = 0
    for seed in range(30):
        draw = np.random.default_rng(seed)
        op.pair(example(count), draw, donor(count))
        total += int(draw.integers(2**32))
    assert total % 2**32 == NEXT_DRAWS[kind, count]


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), kind=st.sampled_from(sorted(SWAPPED)))
def test_outside_the_mask_a_fake_is_its_target_and_follows_its_seed(seed: int, kind: str) -> None:
    op = PAIRS[kind](size=32, **SWAPPED[kind])
    made, again = (blend(op, seed, example(), donor()) for _ in range(2))
    for first, second in zip(made, again, strict=True):
        np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(made.fake[made.mask == 0], made.target[made.mask == 0])
    assert (made.fake != made.target).any()


@pytest.mark.parametrize("kind", sorted(SWAPPED))
def test_a_limited_face_has_lost_its_detail(kind: str) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (400, 350, 3)).astype(np.uint8)
    made_of = Example(noise, 0, face(size=2.0, at=(60, 60)))
    lent = Example(noise[::-1].copy(), 0, face(size=2.0, at=(60, 60)))
    fields: dict[str, Any] = {"widths": (12, 16), "unsharp": 0.0, "regions": ("hull",)}
    fields |= {"mismatch": (), "ratios": (1.0,)} if kind == "self_blended" else {}

    def detail(limited: float) -> float:
        made = blend(PAIRS[kind](limited=limited, **fields), 1, made_of, lent)
        whole = cv2.erode((made.mask == 255).astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
        assert whole.sum() > 1000
        return float(cv2.Laplacian(made.fake, cv2.CV_64F)[whole].std())

    assert detail(1.0) < 0.1 * detail(0.0)


def test_a_face_is_limited_to_the_widths_and_to_what_it_has() -> None:
    noise = np.random.default_rng(0).integers(0, 255, (200, 180, 3)).astype(np.uint8)
    points = face(size=1.0, at=(20, 30))
    own = float(np.ptp(points[:, 0]))
    op = SelfBlend(limited=1.0, widths=(40, 300), unsharp=0.0)
    kept = [op._limited(noise, points, np.random.default_rng(i)).std() for i in range(30)]
    least, most = (at_scale(noise, width / own, cv2.INTER_LANCZOS4).std() for width in (40, own))
    assert least * 0.7 < min(kept) < max(kept) <= most
    assert max(kept) > 2 * min(kept)  # not all alike
    for coarse in (SelfBlend(limited=1.0, widths=(90, 256)), SelfBlend(limited=0.0)):
        draw = np.random.default_rng(0)
        assert coarse._limited(noise, points, draw) is noise
    nowhere = np.full((81, 2), np.nan)
    assert op._limited(noise, nowhere, np.random.default_rng(0)) is noise


def test_an_unsharp_mask_gives_edges_contrast_and_flat_parts_none() -> None:
    image = np.full((20, 20, 3), 100, np.uint8)
    np.testing.assert_array_equal(unsharp(image, 1.0, 1.0), image)
    image[:, 10:] = 150
    assert np.ptp(unsharp(image, 1.0, 1.0)) > 60


def test_poissons_equation_ends_at_an_edge_and_takes_the_colours_around() -> None:
    grey = Example(np.full((90, 80, 3), 90, np.uint8), 0, face())
    ramp = np.broadcast_to(np.linspace(150, 250, 80).astype(np.uint8)[None, :, None], (90, 80, 3))
    lent = Example(np.ascontiguousarray(ramp), 0, face())
    made = blend(FaceXray(poisson=1.0), 3, grey, lent)
    assert set(np.unique(made.mask)) == {0, 255}
    inside = cv2.erode(made.mask, np.ones((5, 5), np.uint8)) > 0
    assert np.abs(made.fake[inside].mean() - 90) < 12  # and not 200
    feathered = blend(FaceXray(poisson=0.0), 3, grey, lent)
    assert len(np.unique(feathered.mask)) > 10


@pytest.mark.parametrize("count", [68, 81, 468])
@pytest.mark.parametrize("kind", sorted(SWAPPED))
def test_eyes_or_a_mouth_are_swapped_alone(kind: str, count: int) -> None:
    points = np.random.default_rng(0).uniform(20, 60, (468, 2)) if count == 468 else face(count)
    made_of = Example(picture(0), 0, points.astype(np.float32))
    lent = Example(picture(7), 0, points.astype(np.float32))
    for region in ("eyes", "mouth"):
        made = blend(PAIRS[kind](regions=(region,)), 0, made_of, lent)
        assert made.mask.any()
        np.testing.assert_array_equal(made.fake[made.mask == 0], made.target[made.mask == 0])
    if count != 468:
        op = FaceXray(regions=("mouth",), bend=(0.0, 0.0))
        rows = np.flatnonzero(blend(op, 0, made_of, lent).mask.any(axis=1))
        assert rows.min() > points[27:31, 1].mean()  # below the bridge of the nose


def test_parts_are_swapped_where_they_are_asked_for_alone() -> None:
    assert SelfBlend().regions == WHOLE and FaceXray().regions == ("hull",)
    assert set(REGIONS) - set(WHOLE) == {"eyes", "mouth"}


def test_a_tight_crop_is_within_the_face() -> None:
    made_of = Example(picture(0), 0, face(), box=np.array([20, 25, 60, 65], np.float32))
    still: dict[str, Any] = {"size": 40, "mirror": 0.0, "shared": (), "mismatch": ()}
    tight = SelfBlend(margin=(-0.1, -0.1), **still)
    real, _ = tight.pair(made_of, np.random.default_rng(0))
    assert real.box is not None
    # The square of 0.8 sides: the box reaches 5 of 40 pixels beyond it at each side.
    np.testing.assert_allclose(real.box, [-5, -5, 45, 45], atol=0.1)
    with pytest.raises(ValueError, match="margin"):
        SelfBlend(margin=(-0.3, 0.1))


def test_widths_out_of_order_are_refused() -> None:
    for kind in SWAPPED:
        with pytest.raises(ValueError, match="widths"):
            PAIRS[kind](widths=(128, 64))
