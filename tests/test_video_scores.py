"""Frames to videos: names, labels, aggregations."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from score_columns import joined, random_columns, videos

from matnet_jax import metrics
from matnet_jax.metrics.policies import confident_vote


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
