"""Figures that a reader can believe: each against a count by hand or a slow reference."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from matnet_jax.metrics import (
    METRICS,
    OperatingPoint,
    bootstrap_intervals,
    cross_auc,
    fit_operating_point,
    group_table,
    measure_operating_point,
    paired_bootstrap,
    risk_coverage,
    summarise,
)
from matnet_jax.metrics.bootstrap import resampling_units
from matnet_jax.metrics.operating_point import (
    fit_uncertain,
    rate_at_most,
    reals_needed,
    threshold_at_false_alarm_rate,
)
from matnet_jax.metrics.risk_coverage import risk_coverage_summary
from matnet_jax.metrics.weighted import WEIGHTED, Ranking, Samples
from matnet_jax.report.seeds import Spread, seed_groups
from matnet_jax.report.seeds import as_text as spread_text


def videos(labels: Any, scores: Any, **columns: Any) -> dict[str, np.ndarray]:
    count = len(labels)
    text = {name: np.full(count, "") for name in ("subset", "compression")}
    return {
        "dataset": np.full(count, "d"),
        **text,
        "video_id": np.array([f"{i:04d}" for i in range(count)]),
        "label": np.array(labels, np.int32),
        "score": np.array(scores, np.float64),
        **{name: np.array(column) for name, column in columns.items()},
    }


def random_videos(count: int = 60, seed: int = 0, **columns: Any) -> dict[str, np.ndarray]:
    draw = np.random.default_rng(seed)
    labels = draw.integers(0, 2, count)
    # Two decimals: with ties.
    scores = np.round(np.clip(draw.normal(0.4 + 0.2 * labels, 0.2), 0, 1), 2)
    return videos(labels, scores, **columns)


# ---------------------------------------------------------------- cross-AUC
def test_cross_auc_sees_a_shift_that_the_mean_does_not() -> None:
    """Each set is ranked perfectly; 1 of the 4 reals of the pool outscores 1 of the 4 fakes."""
    shifted = videos(
        [0, 0, 1, 1, 0, 0, 1, 1],
        [0.1, 0.2, 0.3, 0.6, 0.1, 0.4, 0.8, 0.9],
        dataset=["a"] * 4 + ["b"] * 4,
    )
    found = cross_auc(shifted)
    assert found is not None
    assert found["mean_auc"] == 1.0
    assert found["auc"] == 15 / 16 and found["difference"] == -1 / 16
    assert found["datasets"] == 2 and found["one_class"] == []


def test_cross_auc_of_one_set_and_of_one_class() -> None:
    assert cross_auc(random_videos()) is None
    found = cross_auc(videos([0, 0, 1, 1], [0.1, 0.3, 0.2, 0.9], dataset=["r", "r", "m", "m"]))
    assert found == {
        "auc": 3 / 4,
        "mean_auc": None,
        "difference": None,
        "datasets": 0,
        "one_class": ["m", "r"],
    }
    assert "cross" not in summarise(random_videos())


# ---------------------------------------------------------------- bootstrap
@pytest.mark.parametrize("name", list(WEIGHTED))
def test_weighted_metrics_are_those_of_repeated_rows(name: str) -> None:
    table = random_videos(40)
    labels, scores = table["label"], table["score"]
    weights = np.random.default_rng(1).integers(0, 3, (20, 40)).astype(np.float64)
    wanted = []
    for row in weights.astype(int):
        drawn = np.repeat(np.arange(40), row)
        wanted.append(METRICS[name](labels[drawn], scores[drawn]))
    found = WEIGHTED[name](Samples(Ranking(labels, scores), weights))
    np.testing.assert_allclose(found, np.array(wanted, np.float64), rtol=1e-12)


def test_names_and_functions_give_the_same_intervals() -> None:
    table = random_videos()
    options = {"num_resamples": 50, "seed": 3}
    names = ("auc", "acc", "eer", "ap", "balanced_acc")
    quick = bootstrap_intervals(table, names, **options)
    slow = bootstrap_intervals(table, {name: METRICS[name] for name in names}, **options)
    for name in names:
        assert quick[name] == pytest.approx(slow[name], abs=1e-12)
    with pytest.raises(ValueError, match=r"unknown metric 'f1'; available: acc, balanced_acc"):
        bootstrap_intervals(table, ("f1",))


def test_identities_hold_their_fakes_and_unknown_ones_stand_alone() -> None:
    table = videos(
        [0, 1, 1, 0, 0, 1],
        np.linspace(0, 1, 6),
        source_id=["p", "p", "p", "q", "", ""],
        dataset=["d", "d", "d", "d", "d", "d"],
    )
    units = resampling_units(table, "identity")
    # p has both classes; q and a nameless video are real alone, the other nameless is fake alone.
    assert units.row_unit.tolist() == [0, 0, 0, 1, 2, 3]
    assert [stratum.tolist() for stratum in units.strata] == [[1, 2], [3], [0]]
    assert (units.num_units, units.num_videos, units.unknown) == (4, 6, 2)
    # The same name in another data set is another person.
    table["dataset"] = np.array(["d", "d", "e", "d", "d", "d"])
    assert resampling_units(table, "identity").num_units == 5
    with pytest.raises(ValueError, match="resample is 'people', wanted one of video, identity"):
        resampling_units(table, "people")


def test_videos_of_one_person_count_once() -> None:
    """Ten copies of each person's videos tell no more than one; draws of videos believe they do."""
    few = random_videos(40, source_id=[str(i) for i in range(40)])
    many = {name: np.repeat(column, 10) for name, column in few.items()}
    many["video_id"] = np.array([str(i) for i in range(400)])
    options = {"num_resamples": 200, "seed": 0}

    def width(table: Any, resample: Any) -> float:
        low, high = bootstrap_intervals(table, ("auc",), resample=resample, **options)["auc"] or ()
        return high - low

    assert width(many, "identity") == pytest.approx(width(few, "identity"), rel=0.3)
    assert width(many, "video") < 0.5 * width(many, "identity")
    better = {**many, "score": np.clip(many["score"] + 0.02 * many["label"], 0, 1)}
    paired = [
        paired_bootstrap(many, better, resample=resample, **options).interval or [0.0, 0.0]
        for resample in ("video", "identity")
    ]
    assert paired[0][1] - paired[0][0] < paired[1][1] - paired[1][0]


def test_what_was_drawn_is_said() -> None:
    known = summarise(
        random_videos(30, source_id=[str(i // 2) for i in range(30)]),
        num_resamples=5,
        resample="identity",
    )["intervals"]["resample"]
    assert known["unit"] == "identity" and known["units"] == 15 and known["note"] is None
    unknown = summarise(random_videos(30), num_resamples=5, resample="identity")["intervals"]
    assert unknown["resample"]["unit"] == "video"
    assert unknown["resample"]["videos_of_unknown_identity"] == 30
    assert "draws of videos" in unknown["resample"]["note"]
    plain = summarise(random_videos(30), num_resamples=5)["intervals"]
    assert plain["resample"] == {"unit": "video", "units": 30}
    assert plain["video"] == unknown["video"]


# ---------------------------------------------------------------- risk and coverage
def test_risk_coverage_by_hand() -> None:
    """By confidence: right, wrong, a tie of one right and one wrong."""
    found = risk_coverage(np.array([1, 0, 1, 1]), np.array([0.9, 0.8, 0.6, 0.4]))
    assert found is not None
    np.testing.assert_allclose(found.coverage, [0.25, 0.5, 1.0])
    np.testing.assert_allclose(found.risk, [0.0, 0.5, 0.5])
    # Counts of 1, 2, 3, 4 kept: 0, 1/2, 1.5/3, 2/4.
    assert found.area == pytest.approx((0 + 0.5 + 0.5 + 0.5) / 4)
    assert found.coverage_at(0.05) == 0.25 and found.coverage_at(0.5) == 1.0
    worst = risk_coverage(np.array([0, 1]), np.array([0.9, 0.6]))
    assert worst is not None and worst.coverage_at(0.1) == 0.0


def test_risk_coverage_of_nothing_is_undefined() -> None:
    found = risk_coverage_summary(np.array([]), np.array([]))
    assert found["aurc"] is None and found["curve"] == {"coverage": [], "risk": []}
    whole = risk_coverage_summary(*(random_videos(500)[name] for name in ("label", "score")))
    assert len(whole["curve"]["risk"]) <= 101
    assert whole["curve"]["coverage"][-1] == 1.0 and whole["curve"]["risk"][-1] == whole["risk"]


# ---------------------------------------------------------------- operating point
def test_the_threshold_keeps_the_rate_of_false_alarms() -> None:
    reals = np.arange(100) / 100  # 0.99 is the highest
    assert threshold_at_false_alarm_rate(reals, 0.01) == 0.98  # 0.99 alone is over it
    assert threshold_at_false_alarm_rate(reals, 0.05) == 0.94
    assert threshold_at_false_alarm_rate(reals, 0.009) == 0.99
    tied = np.array([0.1, 0.7, 0.7, 0.7])
    assert threshold_at_false_alarm_rate(tied, 0.3) == 0.7  # 1 of 4 is allowed; any less lets 3 in
    assert threshold_at_false_alarm_rate(np.array([]), 0.1) is None
    assert reals_needed(0.01) == 100 and reals_needed(0.3) == 4
    with pytest.raises(ValueError, match=r"false_alarm_rate is 0, wanted a share"):
        threshold_at_false_alarm_rate(reals, 0)


def test_rates_have_an_exact_bound() -> None:
    # No alarm in n: (1 − p)ⁿ = 0.05.
    assert rate_at_most(0, 100) == pytest.approx(1 - 0.05 ** (1 / 100))
    assert rate_at_most(5, 5) == 1.0 and rate_at_most(0, 0) is None


def test_the_uncertain_band_by_hand() -> None:
    labels = np.array([0, 0, 0, 1, 0, 1, 1, 1])
    scores = np.array([0.0, 0.1, 0.2, 0.3, 0.6, 0.7, 0.8, 0.9])
    # Over 0.5 one of four is real; over 0.65 none. Under 0.5 one of four is fake; under 0.25 none.
    assert fit_uncertain(labels, scores, 0.5, 0.2) == pytest.approx((0.25, 0.65))
    assert fit_uncertain(labels, scores, 0.5, 0.25) is None
    # Ten times the reals are as many of them over it, by share.
    more = np.repeat(labels == 0, 9)
    many = (np.append(labels, np.zeros(more.sum(), int)), np.append(scores, scores.repeat(9)[more]))
    assert len(many[0]) == 44 and fit_uncertain(*many, 0.5, 0.25) is None
    # Swapped classes: no call is safe at all.
    assert fit_uncertain(1 - labels, scores, 0.5, 0.2) == (0.0, 1.0)


@pytest.mark.parametrize(
    ("reals", "fakes", "threshold"),
    [
        ([0.0] * 98 + [1.0] * 2, [1.0] * 100, 1.0),
        ([0.1] * 98 + [0.5] * 2, [0.5] * 60 + [0.9] * 40, 0.5),
        ([0.0] * 100, [0.0] * 60 + [0.9] * 40, 0.0),
    ],
)
def test_fakes_on_the_threshold_are_not_called_real(
    reals: list[float], fakes: list[float], threshold: float
) -> None:
    """The threshold is one of the reals' scores, and scores that saturate are equal."""
    labels = np.repeat([0, 1], [len(reals), len(fakes)])
    scores = np.array(reals + fakes)
    assert threshold_at_false_alarm_rate(np.array(reals), 0.01) == threshold
    band = fit_uncertain(labels, scores, threshold, 0.05)
    assert band == (threshold, threshold)
    point = OperatingPoint(threshold, band)
    assert not np.any(point.decide(scores)[labels == 1] == 0)


def test_an_operating_point_and_how_it_does_elsewhere() -> None:
    fitting = videos([0, 0, 0, 1, 0, 1, 1, 1], [0.0, 0.1, 0.2, 0.3, 0.6, 0.7, 0.8, 0.9])
    point = fit_operating_point(fitting, false_alarm_rate=0.25, max_risk=0.1, fitted_on="val")
    assert point is not None
    assert point.threshold == 0.2 and point.false_alarms == 1 and point.note is None
    # Over 0.2 one of five is real, over 0.65 none; nothing under 0.2 is fake.
    assert point.uncertain == pytest.approx((0.2, 0.65))
    assert OperatingPoint.from_json(json.loads(json.dumps(point.as_json()))) == point
    few = fit_operating_point(fitting, false_alarm_rate=0.01)
    assert few is not None and few.threshold == 0.6
    assert "needs at least 100 real videos in validation, and there are 4" in (few.note or "")

    band = OperatingPoint(threshold=0.5, uncertain=(0.4, 0.6))
    assert band.decide(np.array([0.39, 0.4, 0.6, 0.61])).tolist() == [0, -1, -1, 1]
    found = measure_operating_point(
        band, videos([0, 0, 0, 1, 1, 1], [0.1, 0.55, 0.9, 0.2, 0.45, 0.8])
    )
    assert found == {
        "videos": 6,
        "decided": 4,
        "coverage": 4 / 6,
        "risk": 2 / 4,
        "risk_without_abstention": 4 / 6,
        "false_alarms": 1,
        "false_alarm_rate": 1 / 3,
        "tpr": 1 / 3,
        "uncertain_real": 1,
        "uncertain_fake": 1,
    }
    with pytest.raises(ValueError, match=r"no operating point: KeyError\('threshold'\)"):
        OperatingPoint.from_json({"limit": 0.5})


def test_what_validation_lacks_leaves_no_operating_point() -> None:
    reals = videos([0, 0], [0.1, 0.2])
    assert fit_operating_point(reals) is None
    assert fit_operating_point(reals, false_alarm_rate=0.5, max_risk=0.1) is None
    point = fit_operating_point(reals, false_alarm_rate=0.5)
    assert point is not None and point.temperature is None and point.threshold == 0.1
    assert summarise(random_videos(), validation=reals)["operating_point"] is None
    nothing = measure_operating_point(point, videos([], []))
    assert nothing["coverage"] is None and nothing["risk"] is None and nothing["tpr"] is None


# ---------------------------------------------------------------- groups
def test_groups_by_hand() -> None:
    table = videos(
        [0, 0, 1, 1, 0, 0, 1, 1, 0],
        [0.1, 0.6, 0.7, 0.2, 0.1, 0.2, 0.8, 0.9, 0.3],
    )
    names = np.array(["dark"] * 4 + ["light"] * 4 + [""])
    found = group_table(table, names, num_resamples=50)
    dark, light = found["groups"]["dark"], found["groups"]["light"]
    assert (dark["fpr"], dark["tpr"], dark["auc"]) == (0.5, 0.5, 0.75)
    assert (light["fpr"], light["tpr"], light["auc"]) == (0.0, 1.0, 1.0)
    assert found["max_gap"] == {"fpr": 0.5, "tpr": 0.5, "auc": 0.25}
    assert found["unknown"] == 1 and found["overall"]["n_real"] == 4
    assert found["overall"]["auc"] == roc_auc_score(table["label"][:8], table["score"][:8])
    # 0 of 2: (1 − p)² = 0.025.
    assert light["intervals"]["fpr"] == pytest.approx([0.0, 1 - 0.025**0.5])
    assert light["intervals"]["auc"] == [1.0, 1.0]


def test_a_group_of_one_class_is_undefined() -> None:
    found = group_table(videos([0, 0, 1], [0.1, 0.6, 0.7]), np.array(["a", "a", "b"]))
    assert found["groups"]["a"]["auc"] is None and found["groups"]["a"]["tpr"] is None
    assert found["groups"]["b"]["fpr"] is None and found["groups"]["b"]["intervals"]["fpr"] is None
    assert found["max_gap"] == {"fpr": None, "tpr": None, "auc": None}


# ---------------------------------------------------------------- seeds
@dataclasses.dataclass
class Evaluated:
    letter: str
    metrics: dict[str, Any]
    videos: dict[str, np.ndarray]


def evaluated(letter: str, seed: int, auc: float | None, **config: Any) -> Evaluated:
    level = {"auc": auc}
    metrics = {"frame": level, "video": level, "config": {"seed": seed, "model": config}}
    return Evaluated(letter, metrics, random_videos(10))


def test_seeds_of_one_configuration_are_one_row() -> None:
    found = seed_groups(
        [
            evaluated("A", 0, 0.8, name="mat"),
            evaluated("B", 0, 0.5, name="meso4"),
            evaluated("C", 1, 0.9, name="mat"),
            evaluated("D", 2, 0.7, name="mat"),
            evaluated("E", 2, 0.1, name="mat"),  # the same seed again is no draw of its own
        ],
        ("auc",),
    )
    assert [group.letters for group in found] == [("A", "C", "D"), ("B",)]
    assert [group.name for group in found] == ["model.name=mat", "model.name=meso4"]
    spread = found[0].video["auc"]
    assert spread.mean == pytest.approx(0.8) and spread.deviation == pytest.approx(0.1)
    assert spread.count == 3 and found[0].seeds == (0, 1, 2)
    assert found[1].video["auc"] == Spread(0.5, None, 1)
    assert spread_text(spread) == "0.8000 ± 0.1000 (3)"


def test_probes_that_differ_are_no_seeds_of_one() -> None:
    def probed(letter: str, seed: int, **about: str) -> Evaluated:
        one = evaluated(letter, seed, 0.5)
        one.metrics["probe"] = {"features": "network", "of": "MAT", **about}
        return one

    lines = [probed(c, i, classifier="logistic") for i, c in enumerate("AB")]
    machines = [probed(c, i, classifier="svm") for i, c in enumerate("CD")]
    found = seed_groups([*lines, *machines], ("auc",))
    assert [group.letters for group in found] == [("A", "B"), ("C", "D")]
    random = [probed(c, i, weights=f"initial values, seed {i}") for i, c in enumerate("EF")]
    assert [group.letters for group in seed_groups(random, ("auc",))] == [("E", "F")]
    files = [probed(c, i, weights=f"{c}.pth") for i, c in enumerate("GH")]
    assert seed_groups(files, ("auc",)) == []


def test_seeds_need_the_same_videos_and_defined_figures() -> None:
    first, second = evaluated("A", 0, 0.8), evaluated("B", 1, None)
    [group] = seed_groups([first, second], ("auc",))
    assert group.video["auc"] == Spread(None, None, 2)
    second.videos["video_id"][0] = "another"
    assert seed_groups([first, second], ("auc",)) == []
    first.metrics.pop("config"), second.metrics.pop("config")
    assert seed_groups([first, second], ("auc",)) == []
