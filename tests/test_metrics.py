"""Metrics on constructed scores whose right answers are known."""

from __future__ import annotations

import itertools
import json
from typing import Any

import numpy as np
import pytest

from matnet_jax import metrics
from matnet_jax.metrics.binary import equal_error_rate, tpr_at_fpr
from matnet_jax.metrics.policies import confident_vote


def videos(*specs: Any, dataset: str = "ffpp", compression: str = "c23") -> Any:
    """Columns from (subset, video_id, label, frame scores) of each video."""
    rows = [
        (dataset, subset, compression, video_id, label, score)
        for subset, video_id, label, scores in specs
        for score in scores
    ]
    names = ("dataset", "subset", "compression", "video_id", "label", "score")
    table = {name: np.array([row[i] for row in rows]) for i, name in enumerate(names)}
    return {**table, "label": table["label"].astype(np.int32)}


def joined(*tables: Any) -> Any:
    return {name: np.concatenate([table[name] for table in tables]) for name in tables[0]}


def random_columns(seed: int = 0, num_videos: int = 40, num_frames: int = 6) -> Any:
    rng = np.random.default_rng(seed)
    specs = []
    for index in range(num_videos):
        label = index % 2
        scores = 1 / (1 + np.exp(-rng.normal(1.5 * label - 0.75, 1.0, num_frames)))
        specs.append(("Deepfakes" if label else "youtube", f"{index:03d}", label, scores))
    return videos(*specs)


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


# ---------------------------------------------------------------- frames to videos


def test_names_shared_across_manipulations_stay_apart() -> None:
    table = videos(
        ("youtube", "000", 0, [0.1, 0.2]),
        ("Deepfakes", "000_003", 1, [0.9, 0.9]),
        ("FaceSwap", "000_003", 1, [0.3, 0.3]),
        ("Face2Face", "000_003", 1, [0.8, 0.6]),
    )
    both = joined(table, videos(("youtube", "000", 0, [0.6]), compression="c40"))
    both = joined(both, videos(("youtube", "000", 0, [0.7]), dataset="other"))
    result = metrics.video_scores(both)
    assert len(result["score"]) == 6
    by_name = dict(
        zip(
            result["subset"] + result["compression"] + result["dataset"],
            result["score"],
            strict=True,
        )
    )
    assert by_name["FaceSwapc23ffpp"] == pytest.approx(0.3)
    assert by_name["youtubec23ffpp"] == pytest.approx(0.15)
    assert by_name["youtubec40ffpp"] == 0.6
    assert by_name["youtubec23other"] == 0.7


def test_joined_names_that_coincide_stay_apart() -> None:
    table = videos(
        ("a/b", "c", 1, [0.9]), ("a", "b/c", 1, [0.1]), ("a", "bc", 1, [0.5]), ("ab", "c", 1, [0.6])
    )
    assert len(metrics.video_scores(table)["score"]) == 4


def test_a_name_with_two_labels_is_refused() -> None:
    table = videos(("", "clip", 0, [0.1]), ("", "clip", 1, [0.9]))
    with pytest.raises(ValueError, match=r"video_id='clip'.* both real and fake"):
        metrics.summarise(table)


def test_videos_of_unequal_length_weigh_the_same() -> None:
    table = videos(
        ("youtube", "a", 0, [0.9] * 100),  # one wrong video of 100 frames
        ("youtube", "b", 0, [0.1]),
        ("youtube", "c", 0, [0.1]),
        ("Deepfakes", "d", 1, [0.95]),
    )
    result = metrics.summarise(table)
    assert result["frame"]["acc"] == pytest.approx(3 / 103)
    assert result["video"]["acc"] == pytest.approx(3 / 4)
    assert (result["video"]["n_real"], result["video"]["n_fake"]) == (3, 1)


def test_order_of_rows_changes_nothing() -> None:
    table = random_columns()
    expected = metrics.summarise(table, num_resamples=20)
    for seed in range(3):
        order = np.random.default_rng(seed).permutation(len(table["label"]))
        shuffled = {name: column[order] for name, column in table.items()}
        result = metrics.summarise(shuffled)
        for level in ("frame", "video"):
            assert result[level] == pytest.approx(expected[level], rel=1e-12)
        assert result["video"] == expected["video"]  # exactly: sums run in a fixed order


@pytest.mark.parametrize(
    ("aggregation", "expected"),
    [("mean", 0.4), ("max", 0.9), ("median", 0.3), ("top_k_mean", 0.6), ("confident_vote", 0.4)],
)
def test_aggregations(aggregation: Any, expected: Any) -> None:
    table = videos(("Deepfakes", "a", 1, [0.3, 0.1, 0.9, 0.3]))
    result = metrics.video_scores(table, aggregation=aggregation, top_k=2)
    assert result["score"][0] == pytest.approx(expected)
    assert result["num_faces"].tolist() == [4]


def test_aggregation_options_are_checked() -> None:
    table = videos(("Deepfakes", "a", 1, [0.3]))
    with pytest.raises(ValueError, match="'mode', wanted one of mean, max, median"):
        metrics.video_scores(table, aggregation="mode")
    with pytest.raises(ValueError, match="top_k is 0"):
        metrics.video_scores(table, aggregation="top_k_mean", top_k=0)
    assert metrics.video_scores(table, aggregation="top_k_mean", top_k=5)["score"][0] == 0.3


def test_confident_vote_by_its_definition() -> None:
    def vote(*scores: Any) -> Any:
        return pytest.approx(confident_vote(np.array(scores)))

    # 12 of 29 frames over 0.8: more than 2/5 (11.6) and more than 11.
    assert vote(*[0.9] * 12, *[0.1] * 17) == 0.9
    # 12 of 30 is 2/5 exactly, not more; 18 of 30 under 0.2 is not over 9/10: the mean.
    assert vote(*[0.9] * 12, *[0.1] * 18) == (12 * 0.9 + 18 * 0.1) / 30
    # 11 confident fakes are too few, however short the video.
    assert vote(*[0.9] * 11, 0.5) == (11 * 0.9 + 0.5) / 12
    # 19 of 20 under 0.2: their mean alone.
    assert vote(*[0.1] * 19, 0.7) == 0.1
    # 18 of 20 is 9/10 exactly, not more.
    assert vote(*[0.1] * 18, 0.7, 0.7) == (18 * 0.1 + 1.4) / 20
    # 0.8 and 0.2 themselves are not confident.
    assert vote(*[0.8] * 12, 0.5) == (12 * 0.8 + 0.5) / 13
    assert vote(*[0.2] * 12) == 0.2


def test_most_wrong_videos_worst_first_and_only_wrong_ones() -> None:
    table = metrics.video_scores(
        videos(
            ("youtube", "a", 0, [0.6]),
            ("youtube", "b", 0, [0.99]),
            ("Deepfakes", "c", 1, [0.2]),
            ("Deepfakes", "d", 1, [0.7]),
        )
    )
    assert metrics.most_wrong_videos(table)["video_id"].tolist() == ["b", "c", "a"]
    assert metrics.most_wrong_videos(table, 1)["video_id"].tolist() == ["b"]


# ---------------------------------------------------------------- the summary


def blind_detector() -> Any:
    """Sees Deepfakes always and FaceSwap never; 10 videos each, names shared."""
    specs = []
    for index in range(10):
        real = 0.1 + 0.01 * index
        specs.append(("youtube", f"{index:03d}", 0, [real, real]))
        specs.append(("Deepfakes", f"{index:03d}_x", 1, [0.95, 0.9]))
        specs.append(("FaceSwap", f"{index:03d}_x", 1, [real, real]))
    return videos(*specs)


def test_a_detector_blind_to_one_manipulation_is_seen_per_subset() -> None:
    result = metrics.summarise(blind_detector())
    assert set(result["by_subset"]) == {"Deepfakes", "FaceSwap"}
    seen, blind = result["by_subset"]["Deepfakes"], result["by_subset"]["FaceSwap"]
    assert seen["video"]["auc"] == seen["frame"]["auc"] == 1.0
    assert blind["video"]["auc"] == pytest.approx(0.5)
    assert blind["video"]["acc"] == pytest.approx(0.5)  # reals right, fakes missed
    for part in (seen, blind):  # each against the same 10 reals
        assert (part["video"]["n_real"], part["video"]["n_fake"]) == (10, 10)
    # Half the fakes are perfect and half are chance.
    assert result["video"]["auc"] == pytest.approx(0.75)
    assert result["video"]["acc"] == pytest.approx(20 / 30)
    assert (result["video"]["n_real"], result["video"]["n_fake"]) == (10, 20)
    json.dumps(result, allow_nan=False)


def test_a_subset_has_intervals_of_its_own_videos() -> None:
    result = metrics.summarise(blind_detector(), num_resamples=100)
    seen, blind = (
        result["by_subset"][name]["intervals"]["video"]["auc"] for name in ("Deepfakes", "FaceSwap")
    )
    assert seen == [1.0, 1.0] and blind[0] < 0.5 < blind[1]


def test_layout_is_the_contract() -> None:
    result = metrics.summarise(random_columns())
    wanted = {"acc", "auc", "eer", "ap", "log_loss", "n_real", "n_fake"}
    assert wanted <= set(result["frame"]) and wanted <= set(result["video"])
    assert wanted <= set(result["by_subset"]["Deepfakes"]["frame"])
    assert "coverage" in result


def test_reals_of_another_compression_or_data_set_are_not_the_reference() -> None:
    c23 = videos(("youtube", "0", 0, [0.4]), ("Deepfakes", "0", 1, [0.5]))
    c40 = videos(("youtube", "0", 0, [0.9]), ("Deepfakes", "0", 1, [0.6]), compression="c40")
    celeb = videos(("Celeb-synthesis", "0", 1, [0.1]), dataset="celebdf")
    result = metrics.summarise(joined(c23, c40, celeb))
    assert set(result["by_subset"]) == {
        "ffpp/Deepfakes/c23",
        "ffpp/Deepfakes/c40",
        "celebdf/Celeb-synthesis/c23",
    }
    assert result["by_subset"]["ffpp/Deepfakes/c23"]["video"]["auc"] == 1.0
    assert result["by_subset"]["ffpp/Deepfakes/c40"]["video"]["auc"] == 0.0
    without_reals = result["by_subset"]["celebdf/Celeb-synthesis/c23"]["video"]
    assert without_reals["auc"] is None and without_reals["n_real"] == 0
    assert set(result["by_dataset"]) == {"ffpp", "celebdf"}
    assert result["by_dataset"]["ffpp"]["video"]["n_real"] == 2


@pytest.mark.parametrize(("subset", "name"), [("", "mine"), ("mixed", "mixed")])
def test_a_folder_of_ones_own_with_one_subset_equals_the_whole(subset: Any, name: Any) -> None:
    table = videos((subset, "a", 0, [0.2]), (subset, "b", 1, [0.9]), dataset="mine", compression="")
    result = metrics.summarise(table)
    assert list(result["by_subset"]) == [name]
    assert result["by_subset"][name]["video"] == result["video"]
    assert "by_dataset" not in result


def test_empty_and_one_class_summaries() -> None:
    empty = {name: column[:0] for name, column in random_columns().items()}
    result = metrics.summarise(empty, num_resamples=5)
    assert result["video"]["auc"] is None and result["video"]["acc"] is None
    assert result["by_subset"] == {}
    assert result["coverage"]["videos_scored"] == 0
    reals = videos(("youtube", "a", 0, [0.2, 0.7]), ("youtube", "b", 0, [0.1, 0.2]))
    result = metrics.summarise(reals, num_resamples=5)
    assert result["by_subset"] == {}
    assert result["intervals"]["video"]["auc"] is None
    assert result["intervals"]["video"]["acc"] == [1.0, 1.0]
    json.dumps(result, allow_nan=False)


def test_videos_without_a_face_get_one_half_and_both_figures_are_there() -> None:
    table = videos(("youtube", "a", 0, [0.1]), ("Deepfakes", "b", 1, [0.9]))
    lost = [
        {
            "dataset": "ffpp",
            "subset": "Deepfakes",
            "compression": "c23",
            "video_id": "z",
            "label": 1,
        },
        {"dataset": "ffpp", "subset": "youtube", "compression": "c23", "video_id": "y", "label": 0},
    ]
    result = metrics.summarise(table, coverage={"without_face": lost, "detector": "mtcnn"})
    coverage = result["coverage"]
    assert (coverage["videos"], coverage["videos_scored"]) == (4, 2)
    assert (coverage["videos_without_face"], coverage["score_without_face"]) == (2, 0.5)
    assert coverage["detector"] == "mtcnn"
    assert result["video"]["acc"] == 1.0 and result["video"]["auc"] == 1.0
    # 0.5 is called real: the fake is missed, the real is right. Pairs: 3 right, 1 tied.
    assert coverage["video_with_them"]["acc"] == pytest.approx(3 / 4)
    assert coverage["video_with_them"]["auc"] == pytest.approx(3.5 / 4)
    assert metrics.summarise(table)["coverage"]["videos_without_face"] is None  # not known
    json.dumps(result, allow_nan=False)


def test_coverage_is_checked() -> None:
    table = videos(("youtube", "a", 0, [0.1]))
    scored = {
        "dataset": "ffpp",
        "subset": "youtube",
        "compression": "c23",
        "video_id": "a",
        "label": 0,
    }
    with pytest.raises(ValueError, match="ffpp/youtube/c23/a is said to have no face"):
        metrics.summarise(table, coverage={"without_face": [scored]})
    with pytest.raises(ValueError, match="lacks subset, compression, label"):
        metrics.summarise(table, coverage={"without_face": [{"dataset": "ffpp", "video_id": "z"}]})


def test_scores_that_are_no_probabilities_are_refused() -> None:
    table = random_columns()
    table["score"] = table["score"] * 3
    with pytest.raises(ValueError, match="wanted a probability"):
        metrics.summarise(table)


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


# ---------------------------------------------------------------- bootstrap


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
