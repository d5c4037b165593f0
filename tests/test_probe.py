"""The linear probe: what it is given decides, and what it leaves is an evaluation like others."""

from __future__ import annotations

import errno
import json
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from tiny import images, tiny_classifier, tiny_model
from tiny_source import tiny_source
from workdirs import tiny_config, workdir

import matnet_jax.evaluation.probe.run as run
from data_pipeline.training.sources import ArraySource
from data_pipeline.training.statistics import image_statistics, sharpness_statistics
from matnet_jax.detectors.mesonet import Meso4
from matnet_jax.evaluation.probe.features import network_features
from matnet_jax.evaluation.probe.folds import cross_validated
from matnet_jax.evaluation.probe.linear import fit_probe
from matnet_jax.evaluation.probe.run import probe, some_frames
from matnet_jax.metrics.scores import read_scores
from matnet_jax.model import init_variables

pytestmark = pytest.mark.usefixtures("no_charts")


@pytest.fixture
def tiny_sources(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("open_source", "open_evaluation"):
        monkeypatch.setattr(run, name, lambda config, split, *sees: tiny_source(split))


def test_statistics_find_a_data_set_that_is_its_class(tiny_sources: Any, tmp_path: Path) -> None:
    """The tiny set's fakes have a grey patch: colour deviations alone tell them."""
    metrics = probe(tiny_config(), tmp_path, features="statistics", frames_per_video=2)
    assert json.loads((tmp_path / "metrics.json").read_text()) == metrics
    assert metrics["video"]["auc"] == 1.0
    found = metrics["probe"]
    assert found["features"] == "statistics" and found["dimensions"] == 8
    assert found["train_faces"] == 12 and found["val_faces"] == 10
    scores = read_scores(tmp_path / "scores.csv")
    assert len(scores["score"]) == 12
    assert "Linear probe of image statistics: test" in (tmp_path / "report.html").read_text()


def test_metrics_are_there_only_with_the_report(
    tiny_sources: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(run, "write_report", full)
    (tmp_path / "metrics.json").write_text("{}")  # of an earlier one
    with pytest.raises(OSError, match="No space left"):
        probe(tiny_config(), tmp_path, features="statistics", frames_per_video=2)
    assert [path.name for path in tmp_path.iterdir()] == ["scores.csv"]


def test_a_trained_workdirs_features(tiny_sources: Any, tmp_path: Path) -> None:
    config = tiny_config()
    workdir(tmp_path / "run", config)
    trained = probe(config, tmp_path / "trained", workdir=tmp_path / "run")
    assert trained["probe"]["step"] == 3 and trained["probe"]["dimensions"] > 8
    # The workdir holds the initial values of the same seed.
    initial = probe(config, tmp_path / "initial")
    assert initial["probe"]["weights"] == "initial values, seed 0"
    for name in ("auc", "log_loss"):
        assert initial["frame"][name] == pytest.approx(trained["frame"][name], abs=1e-3)
    with pytest.raises(ValueError, match="a workdir and a file of weights: give one"):
        probe(config, tmp_path, workdir=tmp_path / "run", weights="x.pth")
    with pytest.raises(ValueError, match="features are 'pixels', wanted one of network, stat"):
        probe(config, tmp_path, features="pixels")


def test_features_are_the_backbones_or_what_the_last_layer_sees() -> None:
    plain = tiny_classifier()
    faces = images(plain, 2)
    variables = init_variables(plain, 0)
    found = network_features(plain, variables, faces)
    wanted = plain.apply(variables, faces, train=False).global_feature
    np.testing.assert_allclose(found, wanted, rtol=1e-5)
    mat = tiny_model()
    features = network_features(mat, init_variables(mat, 0), images(mat, 2))
    assert features.shape == found.shape
    meso = Meso4(image_size=64)
    variables = init_variables(meso, 0)
    hidden = network_features(meso, variables, jax.numpy.asarray(faces))
    assert hidden.shape == (2, 16)
    last = variables["params"]["logit"]
    logits = meso.apply(variables, faces, train=False)["logits"][:, 0]
    np.testing.assert_allclose(hidden @ last["kernel"][:, 0] + last["bias"], logits, rtol=1e-4)


def test_validation_turns_no_line_around() -> None:
    """A feature that is the other way round in validation alone tells nothing there."""
    draw = np.random.default_rng(0)
    labels = np.arange(400) % 2
    features = draw.standard_normal((400, 1)) + labels[:, None]
    text = {name: np.full(400, "") for name in ("dataset", "subset", "compression")}
    columns = {**text, "video_id": np.arange(400).astype(str), "label": labels}
    for classifier in ("logistic", "svm"):
        found = fit_probe(features, labels, -features, columns, classifier=classifier)
        assert roc_auc_score(labels, found.score(features)) > 0.7, classifier
        assert all(0 < area < 0.3 for area in found.validation_auc.values())


def test_the_penalty_is_chosen_on_validation() -> None:
    draw = np.random.default_rng(0)
    labels = np.arange(200) % 2
    features = draw.standard_normal((200, 5)) + 0.5 * labels[:, None]
    text = {name: np.full(200, "") for name in ("dataset", "subset", "compression")}
    columns = {**text, "video_id": np.arange(200).astype(str), "label": labels}
    found = fit_probe(
        features[:100], labels[:100], features[100:], {n: c[100:] for n, c in columns.items()}
    )
    areas = found.validation_auc
    assert areas[found.c] == max(value or 0 for value in areas.values())
    mean, deviation = features[:100].mean(0), features[:100].std(0)
    own = LogisticRegression(C=found.c, class_weight="balanced", max_iter=1000)
    own.fit((features[:100] - mean) / deviation, labels[:100])
    wanted = own.predict_proba((features[100:] - mean) / deviation)[:, 1]
    np.testing.assert_allclose(found.score(features[100:]), wanted, rtol=1e-6)
    # Without both classes in validation there is nothing to choose by.
    reals = {name: column[labels == 0] for name, column in columns.items()}
    assert fit_probe(features, labels, features[labels == 0], reals).validation_auc == {1.0: None}
    with pytest.raises(ValueError, match="100 real and 0 fake faces; a probe needs both"):
        fit_probe(features[labels == 0], labels[labels == 0], features, columns)


def test_frames_are_spread_over_their_video() -> None:
    source = some_frames(tiny_source("train"), 2)  # 6 videos of 4 frames
    assert source.columns["frame"].tolist() == [0, 3] * 6
    assert some_frames(source, None) is source
    assert len(some_frames(source, 9)) == 12


def test_statistics_by_hand() -> None:
    image = np.zeros((64, 64, 3), np.uint8)
    image[:, 32:] = (10, 20, 30)
    found = image_statistics(image)
    np.testing.assert_allclose(found[:6], [5, 10, 15, 5, 10, 15])
    np.testing.assert_allclose(sharpness_statistics(np.full((64, 64, 3), 9, np.uint8)), 0)
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    image = np.full((64, 64, 3), 128, np.uint8)
    image[24:40, 24:40] = noise[24:40, 24:40]
    inside = sharpness_statistics(image)
    assert (inside > 2).all()
    outside = noise.copy()
    outside[8:56, 8:56] = 128
    assert (sharpness_statistics(outside) < -1).all()


def test_a_split_of_one_class_is_undefined_not_an_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    whole = tiny_source("test")
    real = np.flatnonzero(whole.columns["label"] == 0)
    faces = np.stack([example.image for example in whole.read(real)])
    reals = ArraySource(faces, {name: column[real] for name, column in whole.columns.items()})
    monkeypatch.setattr(run, "open_source", lambda config, split, *sees: tiny_source(split))
    monkeypatch.setattr(run, "open_evaluation", lambda config, split, *sees: reals)
    metrics = probe(tiny_config(), tmp_path, features="sharpness")
    assert metrics["video"]["auc"] is None and metrics["video"]["n_real"] == 2


def test_folds_score_people_by_others_alone(tiny_sources: Any, tmp_path: Path) -> None:
    """Train and val are not asked for, and no line is saved: there is none."""
    metrics = probe(tiny_config(), tmp_path, features="statistics", split="val", folds=2)
    assert metrics["video"]["auc"] == 1.0
    assert metrics["probe"]["folds"] == 2 and "train_faces" not in metrics["probe"]
    # Videos of one person, which attributes tell, are more than a fold can be without.
    attributes, columns = tmp_path / "attributes.csv", tiny_source("val").columns
    keys = ("dataset", "subset", "compression", "video_id")
    index = range(len(columns["face"]))
    rows = sorted({tuple(str(columns[key][i]) for key in keys) for i in index})
    lines = [",".join((*keys, "person")), *(",".join((*row, "anna")) for row in rows)]
    attributes.write_text("\n".join(lines))
    config = tiny_config(**{"eval.attributes": str(attributes)})
    with pytest.raises(ValueError, match="2 folds of 1 people"):
        probe(config, tmp_path / "own", features="statistics", split="val", folds=2)
    # Who has no line is told by the source, as without attributes.
    attributes.write_text("\n".join([lines[0], lines[1].removesuffix("anna")]))
    unnamed = probe(config, tmp_path / "some", features="statistics", split="val", folds=2)
    assert unnamed["video"]["auc"] == metrics["video"]["auc"]
    with pytest.raises(ValueError, match="folds have no such line"):
        probe(tiny_config(), tmp_path, folds=3, save=tmp_path / "saved")


def test_what_a_person_is_told_by_does_not_help() -> None:
    """Figures of people alone tell labels where people are split, and not where they are whole."""
    draw = np.random.default_rng(0)
    people = np.repeat(np.arange(40), 4)
    labels = people % 2
    features = 50.0 * np.eye(40)[people] + draw.standard_normal((160, 40))
    text = {name: np.full(160, "") for name in ("dataset", "subset", "compression")}
    columns = {**text, "video_id": np.arange(160).astype(str), "label": labels}

    def area(source: np.ndarray) -> float:
        scores = cross_validated(features, {**columns, "source_id": source}, folds=5)
        return float(roc_auc_score(labels, scores))

    assert area(np.full(160, "")) > 0.99
    assert area(people.astype(str)) < 0.75
    with pytest.raises(ValueError, match="41 folds of 40 people: wanted at least 2, and no more"):
        cross_validated(features, {**columns, "source_id": people.astype(str)}, folds=41)
