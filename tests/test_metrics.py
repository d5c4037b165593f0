"""Metrics on constructed scores whose right answers are known."""

from __future__ import annotations

import itertools
import json
from typing import Any

import numpy as np
import pytest
from score_columns import random_columns, videos

from matnet_jax import metrics
from matnet_jax.metrics.binary import equal_error_rate, tpr_at_fpr

# ---------------------------------------------------------------- one set of scores


def test_perfect_and_reversed() -> None:
    labels = np.array([0, 0, 1, 1])
    perfect = metrics.binary_metrics(labels, np.array([0.0, 0.1, 0.9, 1.0]))
    for name in ("acc", "balanced_acc", "auc", "pauc", "ap", "tpr_at_fpr_1", "tpr_at_fpr_0.1"):
        assert perfect[name] == pytest.approx(1.0), name
    assert perfect["eer"] == 0.0
    reverse = metrics.binary_metrics(labels, np.array([1.0, 0.9, 0.1, 0.0]))
    assert (reverse["acc"], reverse["auc"], reverse["eer"]) == (0.0, 0.0, 1.0)
    assert reverse["tpr_at_fpr_1"] == 0.0


def test_always_fake_detector_is_chance_by_rank_and_the_share_of_fakes_by_accuracy() -> None:
    labels = np.array([0] * 20 + [1] * 80)
    result = metrics.binary_metrics(labels, np.ones(100))
    assert result["acc"] == pytest.approx(0.8)
    assert result["balanced_acc"] == pytest.approx(0.5)
    assert result["auc"] == result["pauc"] == pytest.approx(0.5)
    assert result["eer"] == pytest.approx(0.5)
    assert result["ap"] == pytest.approx(0.8)  # precision of accusing everyone
    assert result["ece"] == pytest.approx(0.2)
    # 20 reals at probability 0, clipped to 1e-15.
    assert result["log_loss"] == pytest.approx(-0.2 * np.log(1e-15), rel=0.01)
    assert (result["n_real"], result["n_fake"]) == (20, 80)


def test_ties_count_one_half() -> None:
    labels = np.array([0, 0, 1, 1])
    scores = np.array([0.2, 0.6, 0.6, 0.9])  # of 4 pairs: 3 right, 1 tied
    result = metrics.binary_metrics(labels, scores)
    assert result["auc"] == pytest.approx(3.5 / 4)
    # ROC (0,0) (0,.5) (.5,1) (1,1) meets the diagonal of equal errors at (.25,.75).
    assert result["eer"] == pytest.approx(0.25)


def test_a_score_on_the_threshold_is_real() -> None:
    assert metrics.decide(np.array([0.4, 0.5, 0.6])).tolist() == [0, 0, 1]
    assert metrics.decide(np.array([0.4, 0.5, 0.6]), 0.3).tolist() == [1, 1, 1]


@pytest.mark.parametrize("label", [0, 1])
def test_one_class_leaves_ranking_undefined_not_zero(label: Any) -> None:
    result = metrics.binary_metrics(np.full(4, label), np.array([0.1, 0.2, 0.3, 0.8]))
    ranking = ("auc", "pauc", "eer", "ap", "balanced_acc", "tpr_at_fpr_1", "tpr_at_fpr_0.1")
    assert all(result[name] is None for name in ranking)
    assert result["acc"] == pytest.approx(0.25 if label else 0.75)
    assert result["log_loss"] > 0
    json.dumps(result, allow_nan=False)


def test_no_examples_leave_everything_undefined() -> None:
    result = metrics.binary_metrics(np.zeros(0, int), np.zeros(0))
    counts = {"n_real": result.pop("n_real"), "n_fake": result.pop("n_fake")}
    assert counts == {"n_real": 0, "n_fake": 0}
    assert set(result.values()) == {None}


def test_reason_undefined() -> None:
    assert metrics.reason_undefined(0, 0, "videos") == "there are no scored videos"
    assert metrics.reason_undefined(3, 0) == "there are no fake examples among the 3 scored"
    assert metrics.reason_undefined(0, 3) == "there are no real examples among the 3 scored"
    assert metrics.reason_undefined(1, 1) is None


def test_eer_against_a_slow_search() -> None:
    rng = np.random.default_rng(3)
    for _ in range(20):
        labels = rng.permutation([0] * 30 + [1] * 50)
        scores = np.round(rng.random(80) * 0.7 + labels * 0.3, 2)  # with ties
        # Corners of the ROC by definition, then the crossing of each segment.
        cuts = np.unique(scores)[::-1]
        points = [(0.0, 0.0)] + [
            (np.mean(scores[labels == 0] >= c), np.mean(scores[labels == 1] >= c)) for c in cuts
        ]
        expected = None
        for (x0, y0), (x1, y1) in itertools.pairwise(points):
            before, after = x0 - (1 - y0), x1 - (1 - y1)
            if before <= 0 <= after:
                expected = x0 + (x1 - x0) * (-before) / (after - before)
                break
        assert equal_error_rate(labels, scores) == pytest.approx(expected, abs=1e-12)


def test_tpr_at_fpr_is_reached_and_not_interpolated() -> None:
    labels = np.array([0] * 100 + [1] * 10)
    scores = np.concatenate([np.linspace(0.0, 0.5, 99), [0.9], [0.95] * 4, [0.7] * 6])
    assert tpr_at_fpr(labels, scores, 0.001) == pytest.approx(0.4)
    assert tpr_at_fpr(labels, scores, 0.01) == pytest.approx(1.0)  # one of 100 reals accused


def test_log_loss_epsilon() -> None:
    labels, scores = np.array([0, 1]), np.array([1.0, 0.5])
    for epsilon in (1e-15, 1e-3):
        result = metrics.binary_metrics(labels, scores, log_loss_epsilon=epsilon)
        expected = (-np.log(epsilon) - np.log(0.5)) / 2
        assert result["log_loss"] == pytest.approx(expected, rel=1e-2 if epsilon < 1e-9 else 1e-9)
    with pytest.raises(ValueError, match="log_loss_epsilon is 0"):
        metrics.binary_metrics(labels, scores, log_loss_epsilon=0)


# ---------------------------------------------------------------- fitted on validation


def test_fitted_threshold_parts_the_classes() -> None:
    labels, scores = np.array([0, 0, 1, 1]), np.array([0.1, 0.2, 0.3, 0.9])
    assert metrics.fit_threshold(labels, scores) == pytest.approx(0.25)
    assert metrics.fit_threshold(labels, np.array([0.1, 0.2, 0.6, 0.9])) == pytest.approx(0.4)
    assert metrics.fit_threshold(labels, np.full(4, 0.7)) == 0.5
    assert metrics.fit_threshold(np.zeros(4), scores) is None
    neighbour = np.nextafter(0.3, 1)
    threshold = metrics.fit_threshold(np.array([0, 1]), np.array([0.3, neighbour]))
    assert metrics.decide(np.array([0.3, neighbour]), threshold).tolist() == [0, 1]


def test_fitted_threshold_has_the_best_balanced_accuracy_of_all() -> None:
    rng = np.random.default_rng(1)
    labels = rng.permutation([0] * 30 + [1] * 120)
    scores = np.round(np.clip(rng.normal(0.3 + 0.2 * labels, 0.15), 0, 1), 2)

    def balanced(threshold: Any) -> Any:
        right = (scores > threshold) == labels
        return (right[labels == 0].mean() + right[labels == 1].mean()) / 2

    best = max(balanced(t) for t in np.linspace(0, 1, 2001))
    assert balanced(metrics.fit_threshold(labels, scores)) == pytest.approx(best)


def test_threshold_is_fitted_on_validation_and_applied_to_test() -> None:
    validation = videos(("youtube", "a", 0, [0.1]), ("Deepfakes", "b", 1, [0.3]))
    test = videos(
        ("youtube", "a", 0, [0.15]),
        ("youtube", "c", 0, [0.25]),
        ("Deepfakes", "b", 1, [0.3]),
        ("Deepfakes", "d", 1, [0.12]),
    )
    result = metrics.summarise(test, validation=validation)
    assert result["video"]["acc"] == pytest.approx(0.5)  # at 0.5 all are called real
    fitted = result["fitted"]["video"]
    assert fitted["threshold"] == pytest.approx(0.2)
    # A threshold fitted on these test scores would reach 0.75.
    assert fitted["acc"] == pytest.approx(0.5)
    assert fitted["balanced_acc"] == pytest.approx(0.5)


def test_validation_of_one_class_fits_nothing() -> None:
    validation = videos(("youtube", "a", 0, [0.1]))
    fitted = metrics.summarise(random_columns(), validation=validation)["fitted"]["video"]
    assert fitted == {"threshold": None, "temperature": None}


def test_temperature_recovers_a_known_overconfidence() -> None:
    rng = np.random.default_rng(0)
    log_odds = rng.normal(0, 2, 20000)
    labels = (rng.random(20000) < 1 / (1 + np.exp(-log_odds))).astype(int)
    overconfident = 1 / (1 + np.exp(-3 * log_odds))
    temperature = metrics.fit_temperature(labels, overconfident)
    assert temperature == pytest.approx(3.0, rel=0.05)
    calibrated = metrics.apply_temperature(overconfident, temperature)
    before = metrics.expected_calibration_error(labels, overconfident)
    after = metrics.expected_calibration_error(labels, calibrated)
    assert before > 0.1 and after < 0.02
    assert np.array_equal(np.argsort(calibrated), np.argsort(overconfident))
    assert metrics.apply_temperature(np.array([0.5]), 7.0)[0] == pytest.approx(0.5)
    assert metrics.fit_temperature(np.ones(3), np.array([0.2, 0.4, 0.9])) is None


def test_calibration_error_by_hand() -> None:
    labels = np.array([0, 1, 1, 1])
    scores = np.array([0.01, 0.02, 0.98, 1.0])  # bins: (0.015, 1/2) and (0.99, 1)
    expected = 0.5 * abs(0.015 - 0.5) + 0.5 * abs(0.99 - 1.0)
    assert metrics.expected_calibration_error(labels, scores) == pytest.approx(expected)


# ---------------------------------------------------------------- attention maps


def test_map_statistics_of_known_maps() -> None:
    disjoint = np.zeros((1, 2, 2, 2))
    disjoint[0, 0, 0, 0] = disjoint[0, 1, 1, 1] = 5.0
    result = metrics.map_statistics(disjoint)
    assert (result["overlap"], result["entropy"], result["dead_maps"]) == (0.0, 0.0, 0.0)
    alike = np.ones((3, 4, 5, 2)) * np.array([1.0, 1e-30])  # scale does not matter
    result = metrics.map_statistics(alike)
    assert result["overlap"] == pytest.approx(1.0)
    assert result["entropy"] == pytest.approx(1.0)
    assert (result["num_faces"], result["num_maps"]) == (3, 2)


def test_dead_maps_are_counted_and_not_averaged_in() -> None:
    maps = np.zeros((1, 2, 2, 3))
    maps[0, :, :, 0] = 1.0
    maps[0, 0, :, 1] = 1.0
    result = metrics.map_statistics(maps)
    assert result["dead_maps"] == pytest.approx(1 / 3)
    assert result["overlap"] == pytest.approx(1 / np.sqrt(2))
    assert result["entropy"] == pytest.approx((1 + 0.5) / 2)
    dead = metrics.map_statistics(np.zeros((2, 2, 2, 2)))
    assert dead["overlap"] is None and dead["entropy"] is None and dead["dead_maps"] == 1.0
    one = metrics.map_statistics(np.ones((1, 2, 2, 1)))
    assert one["overlap"] is None and one["entropy"] == pytest.approx(1.0)


def test_map_statistics_refuses_what_is_no_attention() -> None:
    with pytest.raises(ValueError, match="wanted \\[N,h,w,M\\]"):
        metrics.map_statistics(np.ones((2, 2, 4)))
    with pytest.raises(ValueError, match="negative"):
        metrics.map_statistics(-np.ones((1, 2, 2, 4)))


# ---------------------------------------------------------------- base rates


def test_alarm_precision_by_bayes_rule() -> None:
    rates = {"found": 90, "fakes": 100, "accused": 5, "reals": 100}
    even = metrics.alarm_precision(**rates, base_rate=0.5)
    assert even.estimate == pytest.approx(0.9 / 0.95)
    rare = metrics.alarm_precision(**rates, base_rate=0.001)
    assert rare.estimate == pytest.approx(0.0009 / (0.0009 + 0.999 * 0.05))
    assert rare.at_worst < rare.estimate < 0.02


def test_no_false_alarm_among_few_reals_does_not_make_every_alarm_right() -> None:
    result = metrics.alarm_precision(found=10, fakes=10, accused=0, reals=10, base_rate=0.01)
    assert result.estimate == 1.0
    # The bounds by their definition: 0.95 ** (1/10)-like tails of ten successes.
    low, high = 0.05 ** (1 / 10), 1 - 0.05 ** (1 / 10)
    assert result.at_worst == pytest.approx(0.01 * low / (0.01 * low + 0.99 * high))


def test_alarm_precision_at_its_edges() -> None:
    silent = metrics.alarm_precision(found=0, fakes=5, accused=0, reals=5, base_rate=0.1)
    assert silent.estimate is None and silent.at_worst == 0.0
    always = metrics.alarm_precision(found=5, fakes=5, accused=5, reals=5, base_rate=0.1)
    assert always.estimate == pytest.approx(0.1)
    assert metrics.alarm_precision(found=0, fakes=0, accused=1, reals=5, base_rate=0.1) is None
    with pytest.raises(ValueError, match="base_rate is 1"):
        metrics.alarm_precision(found=1, fakes=2, accused=1, reals=2, base_rate=1)
