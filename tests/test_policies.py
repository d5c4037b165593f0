"""Video policies by hand: every branch of each, and where a branch just does not begin."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from matnet_jax.metrics import summarise, video_scores
from matnet_jax.metrics.policies import (
    BY_FACE,
    POLICIES,
    clipped_face_mean,
    drawn_in,
    extremes,
    face_extremes,
    face_groups,
    face_means,
    group_scores,
    groups_of_five,
    sharpened_mean,
    video_score,
)


def scores_of(*values: float) -> np.ndarray:
    return np.array(values, np.float64)


def test_sharpened_mean_of_three_scores() -> None:
    high, low = 0.5 + 0.3**0.65, 0.5 - 0.1**0.65
    want = (0.3001 * high + 0.1001 * low + 0.0001 * 0.5) / 0.4003
    assert sharpened_mean(scores_of(0.8, 0.4, 0.5)) == pytest.approx(want, rel=1e-12)
    assert sharpened_mean(scores_of(0.5, 0.5)) == 0.5
    # 0.5 + 0.5^0.65 is over 1: sure scores are cut off at 0.99 and 0.01.
    assert sharpened_mean(scores_of(1.0, 1.0)) == pytest.approx(0.99)
    assert sharpened_mean(scores_of(0.0)) == pytest.approx(0.01)


def test_sure_scores_weigh_more() -> None:
    scores = scores_of(0.95, 0.45, 0.45, 0.45)
    assert sharpened_mean(scores) > scores.mean() + 0.1


@pytest.mark.parametrize(
    ("of_faces", "want"),
    [
        ((0.91, 0.1), 0.91),  # one is surely fake
        ((0.9, 0.1), 0.5),  # 0.9 itself is not sure
        ((0.7, 0.61), 0.7),  # all look fake
        ((0.7, 0.6), 0.65),
        ((0.39, 0.2), 0.2),  # all look real
        ((0.4, 0.2), 0.3),
        ((0.3,), 0.3),
    ],
)
def test_the_face_that_stands_out(of_faces: Any, want: float) -> None:
    assert extremes(scores_of(*of_faces)) == pytest.approx(want)


def test_faces_are_averaged_first() -> None:
    scores, faces = scores_of(0.8, 1.0, 0.1, 0.2, 0.3), np.array([7, 7, 2, 2, 2])
    np.testing.assert_allclose(face_means(scores, faces), [0.2, 0.9])
    assert face_extremes(scores, faces) == pytest.approx(0.55)
    assert clipped_face_mean(scores, faces) == pytest.approx(0.55)
    assert clipped_face_mean(scores_of(1.0, 1.0), np.array([0, 1])) == 0.999
    assert clipped_face_mean(scores_of(0.0), np.array([0])) == 0.001


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def test_groups_average_log_odds() -> None:
    odds = [1.0, 2.0, 3.0, 4.0, 5.0, -1.0, -1.0, -2.0, -3.0, -3.0, 9.0, 9.0]
    found = group_scores(scores_of(*map(sigmoid, odds)))
    np.testing.assert_allclose(found, [sigmoid(3.0), sigmoid(-2.0)])  # two are left over
    # Fewer than five frames are a group of their own.
    np.testing.assert_allclose(group_scores(scores_of(sigmoid(1.0), sigmoid(2.0))), [sigmoid(1.5)])
    assert np.isfinite(group_scores(scores_of(0.0, 1.0, 1.0, 1.0, 1.0))).all()


def test_groups_are_of_every_nth_frame() -> None:
    # 36 frames are over 35: every second, 18 of them, three groups.
    odds = np.arange(36.0) / 10
    found = group_scores(1 / (1 + np.exp(-odds)))
    np.testing.assert_allclose(found, [sigmoid(odd) for odd in (0.4, 1.4, 2.4)])
    assert len(group_scores(np.full(35, 0.5))) == 7
    assert len(group_scores(np.full(160, 0.5))) == 6  # every fifth: 32


@pytest.mark.parametrize(
    ("groups", "want"),
    [
        ((0.9, 0.9, 0.9, 0.1), 0.9),  # three of four are more than 7/10
        ((0.9, 0.9, 0.1), 1.9 / 3),  # two of three are not
        ((0.9,) * 4 + (0.86, 0.2, 0.3), (4 * 0.9 + 0.86) / 5),  # five of seven are
        ((0.1, 0.1, 0.1, 0.9), 0.1),
        ((0.85, 0.85, 0.85), 0.85),
        ((0.5, 0.3), 0.4),
    ],
)
def test_groups_vote(groups: Any, want: float) -> None:
    assert groups_of_five(np.repeat(scores_of(*groups), 5)) == pytest.approx(want)


def test_groups_of_each_face() -> None:
    scores = np.repeat(scores_of(0.95, 0.9, 0.2, 0.3), 5)
    faces = np.repeat([1, 1, 4, 4], 5)
    assert face_groups(scores, faces) == pytest.approx(0.925)
    assert face_groups(scores, np.repeat([1, 4, 1, 4], 5)) == pytest.approx((0.575 + 0.6) / 2)


def test_only_sure_scores_are_drawn_in() -> None:
    assert drawn_in(1.0) == pytest.approx(0.98) and drawn_in(0.0) == pytest.approx(0.02)
    assert drawn_in(0.98) == pytest.approx(0.9608) and drawn_in(0.02) == pytest.approx(0.0392)
    assert drawn_in(0.979) == 0.979 and drawn_in(0.021) == 0.021


@pytest.mark.parametrize("policy", POLICIES)
def test_every_policy(policy: str) -> None:
    assert video_score(policy, scores_of()) == 0.5
    assert video_score(policy, scores_of(0.7)) == pytest.approx(0.7, abs=0.3)
    draw = np.random.default_rng(0)
    for n in (1, 4, 5, 37, 200):
        scores, faces = draw.random(n), draw.integers(0, 3, n)
        found = video_score(policy, scores, np.sort(faces))
        assert 0 <= found <= 1
    with pytest.raises(ValueError, match="wanted one of mean, max"):
        video_score("mode", scores_of(0.5))


def table(order: Any = slice(None)) -> dict[str, np.ndarray]:
    """A video of two faces; face 1 turns fake after five frames."""
    columns = {
        "dataset": np.array(["a"] * 20),
        "subset": np.array(["b"] * 20),
        "compression": np.array(["c23"] * 20),
        "video_id": np.array(["v"] * 20),
        "label": np.ones(20, np.int32),
        "face": np.repeat([0, 1], 10).astype(np.int32),
        "frame": np.tile(np.arange(10), 2).astype(np.int32),
        "score": np.repeat([0.1, 0.1, 0.05, 0.95], 5),
    }
    return {name: column[order] for name, column in columns.items()}


@pytest.mark.parametrize("policy", BY_FACE)
def test_rows_are_put_in_order_for_those_that_need_it(policy: str) -> None:
    want = video_scores(table(), aggregation=policy)["score"][0]
    shuffled = table(np.random.default_rng(1).permutation(20))
    assert video_scores(shuffled, aggregation=policy)["score"][0] == want
    without = {name: column for name, column in table().items() if name != "frame"}
    with pytest.raises(ValueError, match=r"lack the column\(s\) frame"):
        video_scores(without, aggregation=policy)


def test_an_evaluation_by_a_policy() -> None:
    summary = summarise(table(), aggregation="groups_of_five")
    assert summary["protocol"]["aggregation"] == "groups_of_five"
    # Face 0: groups 0.1 and 0.1. Face 1: 0.05 and 0.95, whose mean is a half. Their mean: 0.3.
    found = video_scores(table(), aggregation="groups_of_five")["score"][0]
    assert found == pytest.approx(0.3)
