"""Faces brought onto others, given their colours, and blended by Poisson's equation."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest
from faces import face, picture

from data_pipeline.training.blend import colour
from data_pipeline.training.blend.poisson import poisson
from data_pipeline.training.blend.regions import region_hulls
from data_pipeline.training.blend.warp import landmark_warp, similarity_warp

WARPS = {"similarity": similarity_warp, "landmarks": landmark_warp}


def spots(points: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """An image with a bright spot at each point."""
    image = np.zeros((*shape, 3), np.uint8)
    for point in points:
        cv2.circle(image, tuple(np.rint(point).astype(int).tolist()), 2, (255, 255, 255), -1)
    return image


@pytest.mark.parametrize("name", WARPS)
def test_a_warp_onto_the_same_points_changes_nothing(name: str) -> None:
    image, points = picture(0), face(68)
    made = WARPS[name](image, points, points, image.shape[:2])
    assert np.abs(made.astype(int) - image).max() <= 1


@pytest.mark.parametrize("name", WARPS)
@pytest.mark.parametrize("interpolation", [cv2.INTER_LINEAR, cv2.INTER_CUBIC])
def test_a_turned_face_comes_back_as_a_whole(name: str, interpolation: int) -> None:
    points = face(81)
    turn = cv2.getRotationMatrix2D((40.0, 45.0), 10, 1.1)
    image = cv2.GaussianBlur(picture(1), (0, 0), 2)
    turned = cv2.warpAffine(image, turn, (80, 90))
    there = (points @ turn[:, :2].T + turn[:, 2]).astype(np.float32)
    made = WARPS[name](turned, there, points, (90, 80), interpolation)
    inside = (slice(30, 65), slice(25, 60))
    assert np.abs(made[inside].astype(int) - image[inside]).mean() < 3


def test_landmarks_come_to_lie_on_the_others_only_by_a_landmark_warp() -> None:
    source, target = face(68, size=1.0, at=(40, 40)), face(68, size=1.0, at=(40, 40))
    target = target.copy()
    target[48:68, 1] += 6  # the mouth is lower
    left_eye, mouth = source[36:42].mean(0), source[48:68].mean(0)
    image = spots(np.stack([left_eye, mouth]), (200, 190))
    bent = landmark_warp(image, source, target, (200, 190))
    assert bent[tuple(np.rint(target[48:68].mean(0)).astype(int)[::-1])][0] > 128
    assert bent[tuple(np.rint(target[36:42].mean(0)).astype(int)[::-1])][0] > 128
    whole = similarity_warp(image, source, target, (200, 190))
    assert whole[tuple(np.rint(target[48:68].mean(0)).astype(int)[::-1])][0] < 128


def test_points_on_a_line_and_outside_still_warp() -> None:
    line = np.stack([np.linspace(5, 60, 68)] * 2, axis=1).astype(np.float32)
    assert landmark_warp(picture(0), line, line, (90, 80)).shape == (90, 80, 3)
    outside = face(68, at=(-40, 60))
    assert landmark_warp(picture(0), face(68), outside, (90, 80)).shape == (90, 80, 3)
    with pytest.raises(ValueError, match="coincide"):
        landmark_warp(picture(0), np.zeros((68, 2), np.float32), outside, (90, 80))


def test_colours_are_the_targets_within_the_mask() -> None:
    source, target = picture(0) // 2 + 40, picture(1) // 3 + 90
    mask = np.zeros(source.shape[:2], np.uint8)
    mask[20:70, 20:60] = 255
    inside = mask > 0
    wanted, before = target[inside].mean(0), source[inside].mean(0)
    shifted = colour.match_means(source, target, mask)
    assert np.abs(shifted[inside].mean(0) - wanted).max() < 1 < np.abs(before - wanted).max()
    changed = colour.match_lab(source, target, mask)
    given, reached = (
        cv2.cvtColor(image, cv2.COLOR_RGB2LAB)[inside].astype(float) for image in (target, changed)
    )
    np.testing.assert_allclose(reached.mean(0), given.mean(0), atol=4)
    np.testing.assert_allclose(reached.std(0), given.std(0), rtol=0.15, atol=2)


@pytest.mark.parametrize("match", colour.MATCHES.values(), ids=colour.MATCHES)
def test_an_empty_mask_and_a_flat_source_are_no_trouble(match: colour.Match) -> None:
    source, target = picture(0), picture(1)
    nothing = np.zeros(source.shape[:2], np.uint8)
    np.testing.assert_array_equal(match(source, target, nothing), source)
    flat = np.full_like(source, 90)
    assert np.ptp(match(flat, target, nothing + 255), axis=(0, 1)).max() == 0


MASKS: dict[str, Callable[[np.ndarray], None]] = {
    "inside": lambda mask: mask[20:60, 20:50].fill(255),
    "all": lambda mask: mask.fill(255),
    "a corner": lambda mask: mask[:30, :30].fill(255),
    "the lower border": lambda mask: mask[60:, 10:70].fill(255),
    "a line": lambda mask: mask[40:41].fill(255),
    "one pixel": lambda mask: mask[40:41, 40:41].fill(255),
    "nothing": lambda mask: None,
}


@pytest.mark.parametrize("where", MASKS)
def test_poisson_changes_the_mask_alone_wherever_it_is(where: str) -> None:
    source, target = picture(0), picture(1)
    mask = np.zeros(target.shape[:2], np.uint8)
    MASKS[where](mask)
    before = [image.copy() for image in (source, target, mask)]
    made = poisson(source, target, mask)
    np.testing.assert_array_equal(made[mask == 0], target[mask == 0])
    for image, was in zip((source, target, mask), before, strict=True):
        np.testing.assert_array_equal(image, was)
    assert (made != target).any() == (where in ("inside", "all", "a corner", "the lower border"))


def test_poisson_keeps_gradients_and_takes_the_targets_colours() -> None:
    target = np.full((90, 80, 3), 150, np.uint8)
    source = np.full((90, 80, 3), 60, np.uint8)
    source[40:50, 35:45] = 90
    mask = np.zeros((90, 80), np.uint8)
    [hull] = region_hulls(face(81), "hull")
    cv2.fillConvexPoly(mask, np.rint(hull).astype(np.int32), 255)
    made = poisson(source, target, mask)
    assert made[45, 40].mean() - made[30, 40].mean() == pytest.approx(30, abs=6)
    assert abs(made[30, 40].mean() - 150) < 10
