"""The ship gate on scores whose verdict is known."""

from __future__ import annotations

import csv
import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from matnet_jax.checkpoints.operating_point import read_operating_point
from matnet_jax.evaluation.gate.command import COMMANDS
from matnet_jax.metrics import OperatingPoint
from matnet_jax.metrics.gate import Criteria, Verdict, compared_by, files_of, judge
from matnet_jax.metrics.operating_point import fit_operating_point
from matnet_jax.metrics.scores import write_metrics, write_scores
from matnet_jax.report.gate import as_markdown

POINT = OperatingPoint(0.5, (0.4, 0.6), false_alarm_rate=0.01, fitted_on="others", num_real=200)
PAIRS = ("a", "b", "c")


class Scores:
    """Two groups of 50 people, 20 in a third; swaps of the first; three pairs of videos.

    As made, every real has 0.1 and every fake 0.9.
    """

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []
        for group, count in (("london", 50), ("westminster", 50), ("small", 20)):
            for i in range(count):
                person = f"{group}:{i}"
                for crf in ("crf23", "crf40"):
                    about = {"group": group, "person": person, "compression": crf}
                    self.add(f"{group}_{i}", **about, skin_tone=str(1 + i % 2))
                    if group == "london":
                        fake = {"label": 1, "subset": "poisson", "source_id": f"{group}_{i}"}
                        self.add(f"poisson_{i}", **about, **fake, skin_tone=str(1 + i % 2))
        for name in PAIRS:
            for frame in range(10):
                about = {"group": "ffpp", "person": f"ffpp:{name}", "frame": frame}
                self.add(name, **about)
                fake = {"label": 1, "subset": "Deepfakes", "source_id": name}
                self.add(f"{name}_x", **about, **fake)

    def add(self, name: str, **fields: Any) -> None:
        label = fields.get("label", 0)
        row = {"dataset": "folder", "subset": "real", "compression": "", "split": "test"}
        row |= {"video_id": name, "source_id": name, "frame": 0, "face": 0, "label": label}
        self.rows.append(row | {"score": 0.9 if label else 0.1, "skin_tone": ""} | fields)

    def set(self, score: float, share: float = 1.0, **where: Any) -> None:
        """Gives the first of the rows with these values a score; a share of them by file."""
        chosen = [r for r in self.rows if all(r[k] == v for k, v in where.items())]
        for row in chosen[: round(share * len(chosen))]:
            row["score"] = score

    @property
    def columns(self) -> dict[str, np.ndarray]:
        return {name: np.array([row[name] for row in self.rows]) for name in self.rows[0]}

    def judged(self, criteria: Criteria | None = None, num_resamples: int = 0) -> Verdict:
        columns = self.columns
        attributes = {name: columns.pop(name) for name in ("group", "person", "skin_tone")}
        return judge(columns, attributes, POINT, criteria, num_resamples=num_resamples)


def failed(verdict: Verdict) -> list[tuple[str, str]]:
    assert verdict.met == (not any(line.passed is False for line in verdict.lines))
    return [(line.criterion, line.of) for line in verdict.lines if line.passed is False]


def test_a_good_detector_meets_the_gate() -> None:
    verdict = Scores().judged(num_resamples=20)
    assert verdict.met and failed(verdict) == []
    lines = {(line.criterion, line.of): line for line in verdict.lines}
    judged = {key for key, line in lines.items() if line.passed is not None}
    alarms = {"group london", "group westminster", "skin tone 1", "skin tone 2"}
    assert judged == {
        *(("false alarms", name) for name in alarms),
        ("swaps found", "all"),
        *(("fake above its source by", f"Deepfakes {name}_x") for name in PAIRS),
        *(("frame AUC against its source", f"Deepfakes {name}_x") for name in PAIRS),
        ("pairs", "all"),
    }
    london = lines["false alarms", "group london"]
    assert (london.people, london.files, london.value) == (50, 100, 0.0)
    assert london.interval == [0.0, 0.0]
    assert lines["false alarms", "group small"].passed is None
    assert lines["false alarms", "group small"].people == 20
    assert lines["fake above its source by", "Deepfakes a_x"].value == pytest.approx(0.8)
    assert verdict.measured["false_alarms"] == 0 and verdict.measured["tpr"] == 1
    assert json.loads(json.dumps(verdict.as_json()))["met"] is True


def test_false_alarms_in_one_group_fail_it() -> None:
    scores = Scores()
    # 4 of 100 files stay under 5 %, 6 do not; the other group and the quartiles are below.
    for count, fails in ((4, []), (6, [("false alarms", "group westminster")])):
        scores.set(0.8, count / 100, group="westminster", label=0)
        verdict = scores.judged(num_resamples=50)
        assert failed(verdict) == fails
        [line] = [line for line in verdict.lines if line.of == "group westminster"]
        assert line.value == pytest.approx(count / 100) and line.interval is not None
        assert line.interval[0] < count / 100 < line.interval[1]


def test_false_alarms_in_one_quartile_fail_it() -> None:
    scores = Scores()
    for group in ("london", "westminster"):
        scores.set(0.8, 0.08, group=group, label=0, skin_tone="2")
    # 4 of each group's 100, and 8 of the quartile's 120.
    assert failed(scores.judged()) == [("false alarms", "skin tone 2")]


def test_a_score_on_the_threshold_is_no_alarm() -> None:
    scores = Scores()
    scores.set(0.5, label=0, group="london")
    assert scores.judged().met


def test_a_small_group_is_listed_and_not_judged() -> None:
    scores = Scores()
    scores.set(0.8, 0.2, group="small", label=0)
    verdict = scores.judged()
    assert verdict.met
    assert [line.value for line in verdict.lines if line.of == "group small"] == [0.2]
    assert failed(scores.judged(Criteria(min_people=20))) == [("false alarms", "group small")]
    few = ("groups large enough to judge", "group")
    assert failed(scores.judged(Criteria(min_people=60))) == [few]  # of quartiles there are
    none = failed(scores.judged(Criteria(min_people=99)))
    assert none == [few, ("groups large enough to judge", "skin tone")]


def test_too_few_swaps_found_fail_it() -> None:
    scores = Scores()
    scores.set(0.3, 0.4, group="london", label=1)
    assert scores.judged().met  # 60 % are found
    scores.set(0.3, 0.41, group="london", label=1)
    assert failed(scores.judged()) == [("swaps found", "all")]
    # Fakes of pairs are no swaps: they do not make up for these.
    [line] = [x for x in scores.judged().lines if (x.criterion, x.of) == ("swaps found", "all")]
    assert (line.people, line.files, line.value) == (50, 100, 0.59)


def test_a_fake_below_its_source_fails_it() -> None:
    scores = Scores()
    # One frame of the source at 1 lifts its mean over the fake's, while the order of frames holds.
    scores.set(0.11, video_id="a_x")
    scores.set(1.0, 0.1, video_id="a")
    verdict = scores.judged()
    assert failed(verdict) == [("fake above its source by", "Deepfakes a_x")]
    areas = {x.of: x.value for x in verdict.lines if x.criterion == "frame AUC against its source"}
    assert areas["Deepfakes a_x"] == pytest.approx(0.9)


def test_frames_that_are_not_told_from_their_source_fail_it() -> None:
    scores = Scores()
    scores.set(0.05, 0.2, video_id="b_x")  # 8 of 10 frames over all of the source's
    assert failed(scores.judged()) == [("frame AUC against its source", "Deepfakes b_x")]
    assert scores.judged(Criteria(min_pair_auc=0.8)).met


def test_what_is_missing_is_no_pass() -> None:
    scores = Scores()
    scores.rows = [row for row in scores.rows if row["video_id"] != "c"]
    verdict = scores.judged()
    assert failed(verdict) == [("pairs", "all")]
    assert ("score of a fake without its source", "Deepfakes c_x") in {
        (line.criterion, line.of) for line in verdict.lines
    }
    scores.rows = [row for row in scores.rows if row["group"] == "ffpp" or not row["label"]]
    [line] = [x for x in scores.judged().lines if x.criterion == "swaps found"]
    assert line.value is None and line.passed is False


def test_everybody_has_to_be_known() -> None:
    scores = Scores()
    scores.rows[0]["person"] = ""
    with pytest.raises(ValueError, match="1 files are of no known person, such as london_0"):
        scores.judged()
    columns = scores.columns
    with pytest.raises(ValueError, match="attributes lack person, skin_tone; there are group"):
        judge(columns, {"group": columns["group"]}, POINT)


def test_the_table_says_what_failed() -> None:
    scores = Scores()
    text = as_markdown(scores.judged(), title="Ship gate: good")
    assert "The gate is met. Threshold 0.5000, fitted to 0.01 false alarms on others" in text
    assert "not met" not in text
    scores.set(0.8, 0.06, group="westminster", label=0)
    rows = as_markdown(scores.judged(num_resamples=9), title="bad").splitlines()
    assert rows[2].startswith("The gate is not met: 1 of 12.")
    [row] = [row for row in rows if "**not met**" in row]
    assert row.startswith("| false alarms | group westminster | 50 | 100 | 0.060 | [0.")
    assert {row.count("|") for row in rows if row.startswith("|")} == {9}


def test_a_threshold_holds_in_every_group() -> None:
    reals = np.concatenate([np.linspace(0, 0.2, 200), np.linspace(0, 0.4, 100)])
    videos = {"label": np.r_[np.zeros(300), 1], "score": np.r_[reals, 0.9]}
    second = np.arange(301) >= 200
    plain = fit_operating_point(videos, false_alarm_rate=0.05)
    strict = fit_operating_point(
        videos, false_alarm_rate=0.05, groups=[second], other_rates=(0.01, 0.05)
    )
    assert plain is not None and strict is not None
    over = [float(np.mean(reals[200:] > point.threshold)) for point in (plain, strict)]
    assert over[0] > 0.1 and over[1] == pytest.approx(0.05)
    rates = dict(strict.thresholds)
    assert rates[0.05] == strict.threshold and rates[0.01] > rates[0.05]
    assert OperatingPoint.from_json(json.loads(json.dumps(strict.as_json()))) == strict
    older = {name: value for name, value in plain.as_json().items() if name != "thresholds"}
    assert OperatingPoint.from_json(older) == plain


def write_evaluation(folder: Path, scores: Scores, step: int = 7) -> Path:
    columns = scores.columns
    write_scores(folder / "scores.csv", columns)
    metrics = {"checkpoint": {"step": step}, "protocol": {"aggregation": "mean"}}
    write_metrics(folder / "metrics.json", metrics)
    path = folder / "attributes.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        names = ("video_id", "group", "person", "skin_tone")
        writer.writerow(names)
        writer.writerows(dict.fromkeys(tuple(row[k] for k in names) for row in scores.rows))
    return path


def test_networks_are_compared_by_photos_of_the_swaps_own_group() -> None:
    """A network that tells only the group of the swaps from the other has an AUC of a half."""
    scores = Scores()
    scores.set(0.9, group="london")
    scores.set(0.6, group="london", label=0, compression="crf40")
    columns = scores.columns
    attributes = {name: columns.pop(name) for name in ("group", "person", "skin_tone")}
    point = dataclasses.replace(
        POINT, false_alarm_rate=0.01, thresholds=((0.01, 0.8), (0.05, 0.95))
    )
    lines = compared_by(files_of(columns, attributes), point, num_resamples=0)
    assert all(line.passed is None for line in lines)
    areas = {line.of: line.value for line in lines if line.criterion.startswith("AUC")}
    assert areas == {
        "london, crf23": 0.5,
        "london, crf23, poisson": 0.5,
        "london, crf40": 1.0,
        "london, crf40, poisson": 1.0,
    }
    found = {line.of: line.value for line in lines if line.criterion == "swaps found"}
    assert found["all"] == 1.0 and found["all, at 5% false alarms"] == 0.0
    assert "all, at 1% false alarms" not in found


def test_the_commands_from_scores_to_a_verdict(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    choose, gate, workdir = Scores(), tmp_path / "gate", tmp_path / "run"
    choose.rows = [row for row in choose.rows if row["group"] != "ffpp"]
    choose.set(0.4, 0.2, group="london", label=0)
    attributes = write_evaluation(tmp_path / "choose", choose)
    flags = [f"--attributes={attributes}", f"--workdir={workdir}"]
    bad = write_evaluation(gate, Scores())
    judging = ["judge", str(gate), f"--attributes={bad}", f"--workdir={workdir}"]
    judging.append("--num_resamples=9")
    assert COMMANDS(judging) == 1
    assert "calibrate on the people to choose by first" in capsys.readouterr().err

    calibrating = ["calibrate", str(tmp_path / "choose"), *flags, "--num_resamples=9"]
    assert COMMANDS(calibrating) == 0
    said = capsys.readouterr().out
    assert "fake over 0.4000" in said
    assert "| swaps found | all | 50 | 100 | 1.000 | [1.000, 1.000] |" in said
    assert (tmp_path / "choose" / "choose.md").read_text() in said
    point = read_operating_point(workdir, step=7)
    assert point is not None and point.threshold == 0.4
    assert dict(point.thresholds) == {0.01: 0.4, 0.05: 0.4}
    assert point.temperature is not None and point.max_risk == 0.05

    assert COMMANDS(judging) == 0
    assert "The gate is met." in capsys.readouterr().out
    assert json.loads((gate / "gate.json").read_text())["checkpoint"] == {"step": 7}
    assert COMMANDS([*judging, "--min_people=60"]) == 2
    assert "groups large enough" in (gate / "gate.md").read_text()

    own = ["judge", str(tmp_path / "choose"), *flags]
    assert COMMANDS(own) == 1 and "fitted on" in capsys.readouterr().err
    # Of the same step, and of another network; scores in the workdir are its own, whatever it was.
    metrics = json.loads((gate / "metrics.json").read_text())
    metrics["checkpoint"]["workdir"] = str(tmp_path / "other")
    shutil.copytree(gate, workdir / "eval" / "people")
    for folder, status in ((gate, 1), (workdir / "eval" / "people", 0)):
        (folder / "metrics.json").write_text(json.dumps(metrics))
        assert COMMANDS(["judge", str(folder), *judging[2:]]) == status
    assert "the scores of the network in" in capsys.readouterr().err
    write_evaluation(gate, Scores(), step=8)
    assert COMMANDS(judging) == 1
    said = capsys.readouterr().err
    assert "fitted to step 7, not to step 8" in said and "no operating point of step 8" in said


def test_calibration_needs_both_classes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scores = Scores()
    scores.rows = [row for row in scores.rows if not row["label"]]
    attributes = write_evaluation(tmp_path, scores)
    flags = [f"--attributes={attributes}", f"--workdir={tmp_path}"]
    assert COMMANDS(["calibrate", str(tmp_path), *flags]) == 1
    assert "0 fake files; calibration needs both" in capsys.readouterr().err
