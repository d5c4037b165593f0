"""Ensembles: how members' scores blend, by hand, and the command over members' evaluations."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from matnet_jax import cli
from matnet_jax.config.check import validate
from matnet_jax.evaluation.ensemble.definition import Ensemble, Member, load_ensemble
from matnet_jax.evaluation.ensemble.run import blend, evaluate_ensemble
from matnet_jax.metrics.policies import POLICIES, blended, family_blend, sharpened_mean, trusted
from matnet_jax.metrics.scores import read_scores, write_scores
from matnet_jax.runtime.config_files import load_config

CONFIGS = Path(__file__).parents[1] / "configs"
SHIPPED = sorted((CONFIGS / "ensembles").glob("*.py"))
NAN = float("nan")


def array(*values: float) -> np.ndarray:
    return np.array(values, np.float64)


def test_networks_without_a_score_are_left_out() -> None:
    assert blended(array(0.2, NAN, 0.8), array(1, 5, 3)) == pytest.approx(0.65)
    assert blended(array(NAN, NAN), array(1, 2)) == 0.5
    assert blended(array(), array()) == 0.5


def test_most_networks_speak_for_all() -> None:
    weights = array(1, 2, 1, 4)
    # Three of four are over 0.8: 3/4 is more than 7/10.
    assert trusted(array(0.9, 0.85, 0.81, 0.1), weights) == pytest.approx(3.41 / 4)
    assert trusted(array(0.1, 0.15, 0.19, 0.9), weights) == pytest.approx(0.59 / 4)
    # 0.8 itself is not over it; nor are two of three enough.
    assert trusted(array(0.9, 0.85, 0.8, 0.1), weights) == pytest.approx(3.8 / 8)
    assert trusted(array(0.9, 0.9, 0.3), array(1, 1, 1)) == pytest.approx(0.7)
    assert trusted(array(0.9, NAN, 0.3), array(1, 1, 1)) == pytest.approx(0.6)
    assert trusted(array(NAN), array(1)) is None


def test_families_are_blended_by_their_shares() -> None:
    families, shares = ["clip", "clip", "image"], {"clip": 0.4, "image": 0.6}

    def found(*scores: float) -> float:
        return family_blend(array(*scores), array(10, 30, 5), families, shares)

    assert found(0.4, 0.6, 0.3) == pytest.approx(0.4 * 0.55 + 0.6 * 0.3)
    assert found(0.4, 0.6, NAN) == pytest.approx(0.55)
    assert found(NAN, NAN, 0.3) == pytest.approx(0.3)
    assert found(NAN, NAN, NAN) == 0.5


def rows(**videos: Any) -> dict[str, np.ndarray]:
    """Scores of one face a frame: name -> (label, scores)."""
    listed = [(name, v[0], i, s) for name, v in videos.items() for i, s in enumerate(v[1])]
    count = len(listed)
    names, labels, frames, scores = zip(*listed, strict=True)
    return {
        "dataset": np.array(["dfdc"] * count),
        "subset": np.array(["all"] * count),
        "compression": np.array([""] * count),
        "split": np.array(["test"] * count),
        "video_id": np.array(names),
        "frame": np.array(frames, np.int32),
        "face": np.zeros(count, np.int32),
        "label": np.array(labels, np.int32),
        "score": np.array(scores, np.float64),
    }


def two(**fields: Any) -> Ensemble:
    members = (Member("a", "c", 1.0), Member("b", "c", 3.0, aggregation="max"))
    return Ensemble("two", members, **fields)


A = rows(v=(1, [0.2, 0.4]), w=(0, [0.1]))
B = rows(v=(1, [0.5, 0.9]), x=(0, [0.0]))


def test_each_member_has_its_policy_and_its_weight() -> None:
    found = blend([A, B], two())
    assert found["video_id"].tolist() == ["v", "w", "x"]
    np.testing.assert_allclose(found["score"], [(0.3 + 3 * 0.9) / 4, 0.1, 0.0])
    assert blend([A, B], two(clip=0.001))["score"][2] == 0.001


def test_pooled_scores_are_of_all_members() -> None:
    found = blend([A, B], two(blend="pooled", pooled_by="sharpened_mean"))
    assert found["score"][0] == pytest.approx(sharpened_mean(array(0.2, 0.4, 0.5, 0.9)))
    assert found["score"][1] == pytest.approx(sharpened_mean(array(0.1)))


def test_members_that_disagree_on_a_label_are_refused() -> None:
    with pytest.raises(ValueError, match="has both real and fake rows"):
        blend([A, rows(v=(0, [0.5]))], two())


def test_videos_that_members_do_not_share_are_told(tmp_path: Path) -> None:
    def written(name: str, scores: Any) -> None:
        write_scores(tmp_path / name / "eval" / "test" / "scores.csv", scores)

    ensemble = two()
    first, second = (member.name for member in ensemble.members)
    written(first, rows(v=(1, [0.9]), w=(0, [0.1])))
    written(second, rows(v=(1, [0.8])))
    with pytest.warns(UserWarning, match=f"{second} scored 1 of 2 videos"):
        metrics = evaluate_ensemble(ensemble, tmp_path)
    assert metrics["ensemble"]["videos"] == {first: 2, second: 1}
    written(second, rows(x=(1, [0.8])))
    with pytest.raises(ValueError, match=f"{first} scored 2 videos, and none that another"):
        evaluate_ensemble(ensemble, tmp_path)


def test_what_makes_no_ensemble_is_said() -> None:
    with pytest.raises(ValueError, match="names of their own"):
        Ensemble("twins", (Member("a", "c"), Member("a", "c")))
    with pytest.raises(ValueError, match=r"unknown policies \['mode'\]; available: mean"):
        two(pooled_by="mode")
    with pytest.raises(ValueError, match=r"families \[''\] have shares"):
        two(blend="families", shares={"clip": 1.0})


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_ensembles(path: Path) -> None:
    ensemble = load_ensemble(path.stem)
    for member in ensemble.members:
        validate(load_config(member.config))
        assert member.aggregation in POLICIES
    scored = [rows(v=(1, [0.9] * 6), w=(0, [0.1] * 6))] * len(ensemble.members)
    found = blend(scored, ensemble)["score"]
    assert found[0] > 0.8 and found[1] < 0.2


def test_the_command_reads_evaluations(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ensemble = load_ensemble("selim")
    call = ["ensemble", "--ensemble=selim", f"--workdir={tmp_path}"]
    with pytest.raises(FileNotFoundError, match=r"no scores at .*111_36.*999_23"):
        evaluate_ensemble(ensemble, tmp_path)
    assert cli.COMMANDS([*call, "--list"]) == 0
    assert capsys.readouterr().out.count("selim_b7, weight 1") == 7
    for i, member in enumerate(ensemble.members):
        scores = rows(v=(1, [0.3 + i / 10]), w=(0, [0.2]))
        write_scores(tmp_path / member.name / "eval" / "test" / "scores.csv", scores)
    assert cli.COMMANDS(call) == 0
    assert "1 real and 1 fake videos: auc 1.0000" in capsys.readouterr().out
    metrics = json.loads((tmp_path / "eval" / "test" / "metrics.json").read_text())
    assert metrics["ensemble"]["members"]["777_31"] == "selim_b7"
    kept = read_scores(tmp_path / "eval" / "test" / "scores.csv")
    np.testing.assert_allclose(kept["score"], [0.6, 0.2])
    with pytest.raises(ValueError, match="no ensemble 'selm'; there are"):
        load_ensemble("selm")
