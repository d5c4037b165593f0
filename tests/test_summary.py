"""What `metrics.json` says of a set, its subsets, its coverage."""

from __future__ import annotations

import json
from typing import Any

import pytest
from score_columns import joined, random_columns, videos

from matnet_jax import metrics


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
