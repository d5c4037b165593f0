"""Intervals and paired differences."""

from __future__ import annotations

import numpy as np
import pytest
from score_columns import random_columns, videos

from matnet_jax import metrics


def test_intervals_are_seeded_and_hold_the_figure() -> None:
    table = metrics.video_scores(random_columns(num_videos=80))
    first = metrics.bootstrap_intervals(table, num_resamples=200, seed=1)
    assert first == metrics.bootstrap_intervals(table, num_resamples=200, seed=1)
    assert first != metrics.bootstrap_intervals(table, num_resamples=200, seed=2)
    low, high = first["auc"]
    assert low < metrics.METRICS["auc"](table["label"], table["score"]) < high


def test_intervals_draw_videos_not_frames() -> None:
    """100 equal frames of a video tell no more than one."""
    few = random_columns(num_videos=30, num_frames=1)
    many = {name: np.repeat(column, 100) for name, column in few.items()}
    options = {"num_resamples": 100, "seed": 0}
    one = metrics.bootstrap_intervals(few, **options)
    hundred = metrics.bootstrap_intervals(many, **options)
    assert hundred["auc"] == pytest.approx(one["auc"])


def test_intervals_cover_the_truth_about_as_often_as_they_say() -> None:
    hits, trials = 0, 24
    for seed in range(trials):
        rng = np.random.default_rng(seed)
        labels = np.array([0, 1] * 40)
        scores = (rng.random(80) < np.where(labels == 1, 0.8, 0.3)).astype(float)
        table = {
            **{k: np.full(80, "x") for k in ("dataset", "subset", "compression")},
            "video_id": np.arange(80).astype(str),
            "label": labels,
            "score": scores,
        }
        low, high = metrics.bootstrap_intervals(table, num_resamples=60, seed=seed)["auc"]
        hits += low <= 0.75 <= high  # P(fake over real) + P(tie)/2 = 0.8·0.7 + (0.8·0.3+0.2·0.7)/2
    assert hits / trials > 0.8


def test_paired_difference_of_a_detector_with_itself_is_nought() -> None:
    table = metrics.video_scores(random_columns())
    result = metrics.paired_bootstrap(table, table, num_resamples=50)
    assert (result.difference, result.interval, result.p_value) == (0.0, [0.0, 0.0], 1.0)


def test_pairing_matches_videos_by_identity_and_sees_what_unpaired_draws_can_not() -> None:
    base = random_columns(num_videos=60, num_frames=1)
    log_odds = np.log(base["score"] / (1 - base["score"]))
    better = {**base, "score": 1 / (1 + np.exp(-(log_odds + 0.6 * (base["label"] - 0.5))))}
    a = metrics.video_scores(base)
    order = np.random.default_rng(0).permutation(60)[:50]  # b lacks 10 videos, in another order
    b = {name: column[order] for name, column in metrics.video_scores(better).items()}
    result = metrics.paired_bootstrap(a, b, num_resamples=300)
    assert (result.num_videos, result.only_a, result.only_b) == (50, 10, 0)
    assert result.difference == pytest.approx(result.b - result.a)
    assert result.interval[0] > 0 and result.p_value < 0.05
    alone = [metrics.bootstrap_intervals(x, num_resamples=300)["auc"] for x in (a, b)]
    unpaired = np.hypot(*(high - low for low, high in alone))
    assert result.interval[1] - result.interval[0] < 0.75 * unpaired


def test_paired_difference_refuses_contradicting_labels_and_tells_no_overlap() -> None:
    a = metrics.video_scores(videos(("x", "1", 0, [0.2]), ("x", "2", 1, [0.8])))
    flipped = metrics.video_scores(videos(("x", "1", 1, [0.2]), ("x", "2", 1, [0.8])))
    with pytest.raises(ValueError, match="real in one evaluation and fake in the other"):
        metrics.paired_bootstrap(a, flipped)
    other = metrics.video_scores(videos(("y", "1", 0, [0.2])))
    result = metrics.paired_bootstrap(a, other)
    assert result.difference is None and (result.num_videos, result.only_a) == (0, 2)
