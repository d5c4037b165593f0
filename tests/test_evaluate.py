"""Evaluation: every example once, in files that others can read."""

from __future__ import annotations

import errno
import json
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from records import read_images
from tiny_source import tiny_source
from workdirs import tiny_config, workdir

import matnet_jax.evaluation.run
import matnet_jax.report.drawing
from data_pipeline.training.joined import Joined
from data_pipeline.training.sources import ArraySource
from matnet_jax.checkpoints.orbax import CheckpointError, CheckpointMismatchError
from matnet_jax.config import ConfigError
from matnet_jax.config.build import build_model
from matnet_jax.config.data import read_coverage
from matnet_jax.evaluation.run import NothingToScoreError, evaluate, most_wrong_rows
from matnet_jax.evaluation.scorer import Scorer, sample_rows
from matnet_jax.metrics.scores import read_scores
from matnet_jax.model import init_variables
from matnet_jax.runtime.sharding import data_mesh, replicate


@pytest.fixture
def charts(no_charts: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The report with its charts after all."""
    monkeypatch.setattr(matnet_jax.report.drawing, "_inline_svg", no_charts)


@pytest.fixture
def sources(monkeypatch: pytest.MonkeyPatch, two_devices: Any, no_charts: Any) -> Any:
    """What `evaluate` opens: split -> source, to be filled."""
    table = {split: tiny_source(split) for split in ("train", "val", "test")}
    for name in ("open_source", "open_evaluation"):
        monkeypatch.setattr(
            matnet_jax.evaluation.run, name, lambda config, split, *sees: table[split]
        )
    return table


def test_the_protocol_is_the_configs(sources: Any, tmp_path: Path) -> None:
    fields = {"aggregation": "max", "threshold": 0.4, "num_resamples": 20, "log_loss_epsilon": 1e-7}
    config = tiny_config(
        **{f"eval.{name}": value for name, value in fields.items()},
        **{"eval.fit_on_validation": True},
    )
    workdir(tmp_path, config)
    metrics = evaluate(config, tmp_path)
    assert metrics["protocol"]["aggregation"] == "max" and metrics["protocol"]["threshold"] == 0.4
    assert metrics["protocol"]["log_loss_epsilon"] == 1e-7
    assert metrics["intervals"] and metrics["fitted"]


@pytest.mark.parametrize("cut_off", ["write_report", "write_model_card"])
def test_metrics_are_there_only_with_all_else(
    sources: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cut_off: str
) -> None:
    """A sweep, or whoever looks, takes metrics.json for an evaluation that is done."""

    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    config = tiny_config()
    workdir(tmp_path, config)
    (tmp_path / "eval" / "test").mkdir(parents=True)
    (tmp_path / "eval" / "test" / "metrics.json").write_text("{}")  # of an earlier one
    monkeypatch.setattr(matnet_jax.evaluation.run, cut_off, full)
    with pytest.raises(OSError, match="No space left"):
        evaluate(config, tmp_path)
    assert (tmp_path / "eval" / "test" / "scores.csv").is_file()
    assert not (tmp_path / "eval" / "test" / "metrics.json").exists()


def test_data_sets_are_scored_together() -> None:
    first, second = tiny_source("train"), tiny_source("test")
    joined = Joined([first, second])
    assert len(joined) == 36
    rows = np.array([30, 0, 35, 24, 23])
    for row, image in zip(rows, read_images(joined, rows), strict=True):
        source, own = (first, row) if row < 24 else (second, row - 24)
        np.testing.assert_array_equal(image, read_images(source, np.array([own]))[0])
        assert joined.columns["split"][row] == source.columns["split"][own]


def test_files_and_metrics(sources: Any, charts: None, tmp_path: Path) -> None:
    config = tiny_config()
    workdir(tmp_path, config, steps=(3, 6))
    returned = evaluate(config, tmp_path)
    out = tmp_path / "eval" / "test"
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics == returned
    assert metrics["frame"]["n_real"] == 8 and metrics["frame"]["n_fake"] == 4
    assert metrics["video"]["n_real"] == 2 and metrics["video"]["n_fake"] == 1
    assert set(metrics["by_subset"]) == {"patch"}
    assert metrics["checkpoint"]["step"] == 3 and metrics["checkpoint"]["chosen"] == "best"
    assert metrics["config"]["model"]["num_attentions"] == 2 and "jax" in metrics["versions"]
    scores = read_scores(out / "scores.csv")
    assert len(scores["score"]) == 12
    np.testing.assert_array_equal(scores["frame"], sources["test"].columns["frame"])
    page = (out / "report.html").read_text()
    assert page.count("data:image/jpeg") >= 3 * (1 + 2)  # three videos' faces, two maps each
    assert page.count("<path") > page.count("<svg") > 2  # each chart is drawn

    elsewhere = evaluate(config, tmp_path, checkpoint="latest", split="val", out=tmp_path / "x")
    assert elsewhere["checkpoint"]["step"] == 6
    assert (tmp_path / "x" / "scores.csv").exists()


def test_scores_are_the_networks_one_by_one(sources: Any) -> None:
    config = tiny_config()
    model = build_model(config)
    variables = init_variables(model, 3)
    mesh = data_mesh(jax.devices()[:2])
    source = sources["val"]  # 20 examples, batches of 8: the last is half padding
    scores, loss = Scorer(model, mesh, batch_size=8).score(replicate(variables, mesh), source)
    faces = np.stack(read_images(source))
    logits = model.apply(variables, model.preprocess.normalize(faces), train=False).logits
    wanted = jax.nn.softmax(logits)
    np.testing.assert_allclose(scores["score"], wanted[:, 1], rtol=1e-4)
    own = np.take_along_axis(np.asarray(wanted), source.columns["label"][:, None], axis=1)
    assert loss == pytest.approx(-np.log(own).mean(), rel=1e-4)
    np.testing.assert_array_equal(scores["video_id"], source.columns["video_id"])


def test_faces_have_their_own_maps_whatever_the_order_of_devices(sources: Any) -> None:
    """On a slice of TPUs outputs come in the order of the mesh, which is not that of processes."""
    model = build_model(tiny_config())
    mesh = data_mesh(jax.devices()[:2])
    variables = replicate(init_variables(model, 3), mesh)
    scorer, rows = Scorer(model, mesh, batch_size=8), np.array([3, 8, 1, 12])
    wanted = scorer.overlays(variables, sources["val"], rows)
    in_order, mixed = scorer._step, np.random.default_rng(0).permutation(8)

    def step(*inputs: Any) -> Any:
        out = jax.device_get(in_order(*inputs))
        return jax.tree.map(lambda x: x[mixed] if np.ndim(x) else x, out)

    scorer._step = step
    found = scorer.overlays(variables, sources["val"], rows)
    for own, other in zip(wanted, found, strict=True):
        assert own.score == other.score and own.title == other.title
        np.testing.assert_array_equal(own.attention, other.attention)
        np.testing.assert_array_equal(own.image, other.image)
    assert len({overlay.score for overlay in found}) == len(rows)


def test_the_model_card_has_the_figures(sources: Any, tmp_path: Path) -> None:
    config = tiny_config(**{"eval.robustness": ("jpeg_quality",), "eval.num_resamples": 20})
    workdir(tmp_path / "run", config)
    metrics = evaluate(config, tmp_path / "run")
    card = (tmp_path / "run/eval/test/model-card.md").read_text()
    assert card.startswith("# Model card: run\n")
    low, high = metrics["intervals"]["video"]["auc"]
    video, frame = (f"{100 * metrics[level]['auc']:.2f} %" for level in ("video", "frame"))
    assert f"| AUC | {video} ({100 * low:.2f} % – {100 * high:.2f} %) | {frame} |" in card
    assert "| tiny | 3 | 2 | 1 | the publisher's: read them before use |" in card
    assert "| 1 in 1000 | " in card and "| jpeg_quality | 95: " in card
    assert "Trained on: the embedded data set, drawn faces." in card
    assert "\n\n\n" not in card


def test_robustness_is_in_the_metrics_and_the_report(
    sources: Any, charts: None, tmp_path: Path
) -> None:
    config = tiny_config(**{"eval.robustness": ("jpeg_quality",)})
    workdir(tmp_path, config)
    points = evaluate(config, tmp_path)["robustness"]["jpeg_quality"]
    assert [point["strength"] for point in points] == [95, 75, 50, 30]
    assert all(0 <= point["frame_auc"] <= 1 for point in points)
    assert "robustness to jpeg_quality" in (tmp_path / "eval/test/report.html").read_text()
    with pytest.raises(ConfigError, match=r"eval.robustness must be of h264_crf, jpeg_quality"):
        evaluate(tiny_config(**{"eval.robustness": ("rain",)}), tmp_path)


def test_an_example_that_batching_loses_is_an_error(
    sources: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tiny_config()
    model = build_model(config)
    mesh = data_mesh(jax.devices()[:2])
    batches = matnet_jax.evaluation.scorer.eval_batches
    monkeypatch.setattr(
        matnet_jax.evaluation.scorer, "eval_batches", lambda *a, **k: list(batches(*a, **k))[:-1]
    )
    variables = replicate(init_variables(model, 0), mesh)
    with pytest.raises(RuntimeError, match="example 16 was scored 0 times, wanted once"):
        Scorer(model, mesh, batch_size=8).score(variables, sources["val"])


def test_one_class_gives_null_and_a_report(sources: Any, tmp_path: Path) -> None:
    whole = sources["test"]
    real = np.flatnonzero(whole.columns["label"] == 0)
    sources["test"] = ArraySource(
        np.stack(read_images(whole, real)), {name: c[real] for name, c in whole.columns.items()}
    )
    config = tiny_config()
    workdir(tmp_path, config)
    metrics = evaluate(config, tmp_path)
    assert metrics["frame"]["auc"] is None and metrics["video"]["auc"] is None
    assert metrics["frame"]["n_fake"] == 0 and metrics["frame"]["acc"] is not None
    assert '"auc": null' in (tmp_path / "eval/test/metrics.json").read_text()
    assert (tmp_path / "eval/test/report.html").exists()


def test_an_empty_split_is_said(sources: Any, tmp_path: Path) -> None:
    columns = {name: column[:0] for name, column in sources["test"].columns.items()}
    sources["test"] = ArraySource(np.zeros((0, 32, 32, 3), np.uint8), columns)
    with pytest.raises(NothingToScoreError, match=r"'test' .* has no faces to score"):
        evaluate(tiny_config(), tmp_path)


def test_a_plain_classifier_is_shown_by_class_activation(sources: Any, tmp_path: Path) -> None:
    config = tiny_config(**{"model.kind": "classifier"})
    for name in ("mid_dims", "batch_norm_momentum"):
        config.model[name] = None
    workdir(tmp_path, config)
    metrics = evaluate(config, tmp_path)
    assert metrics["frame"]["auc"] is not None
    assert "data:image/jpeg" in (tmp_path / "eval/test/report.html").read_text()


def test_foreign_and_missing_checkpoints(sources: Any, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="train first"):
        evaluate(tiny_config(), tmp_path)
    workdir(tmp_path, tiny_config())
    with pytest.raises(CheckpointError, match="available: latest, best, 3"):
        evaluate(tiny_config(), tmp_path, checkpoint="4")
    with pytest.raises(CheckpointMismatchError, match="num_attentions: 2 before, 4 now"):
        evaluate(tiny_config(**{"model.num_attentions": 4}), tmp_path)
    # What is not the network may differ: another data set, another batch size.
    assert evaluate(tiny_config(**{"train.batch_size": 2, "data.ops": "none"}), tmp_path)


def test_which_faces_are_shown() -> None:
    scores = {
        "dataset": np.full(12, "d"),
        "subset": np.array(["r"] * 6 + ["f"] * 6),
        "compression": np.full(12, "c"),
        "video_id": np.array(list("001122334455")),
        "label": np.array([0] * 6 + [1] * 6),
        "score": np.array([0.1, 0.2, 0.9, 0.7, 0.1, 0.1, 0.9, 0.8, 0.1, 0.6, 0.9, 0.9]),
        "row": np.arange(12),
    }
    np.testing.assert_array_equal(sample_rows(scores, 4), [0, 6, 4, 10])
    np.testing.assert_array_equal(sample_rows(scores, 100), [0, 6, 2, 8, 4, 10])
    assert [len(sample_rows(scores, count)) for count in (1, 2, 3)] == [1, 2, 3]
    # Videos 1 (real, mean 0.8) and 4 (fake, mean 0.35) are on the wrong side; worst faces first.
    np.testing.assert_array_equal(sorted(most_wrong_rows(scores, "mean", 10)), [2, 8])
    # By its highest face the fake is found.
    np.testing.assert_array_equal(most_wrong_rows(scores, "max", 10), [2])


def test_videos_without_a_face_are_counted(sources: Any, tmp_path: Path) -> None:
    config = tiny_config(**{"data.source": "records", "data.dir": str(tmp_path / "records")})
    build = tmp_path / "records" / "faces" / "1.0.0"
    build.mkdir(parents=True)
    (build / "dataset_info.json").write_text('{"name": "faces"}')
    assert read_coverage(config, "test") is None
    lost = {"dataset": "tiny", "subset": "real", "compression": "none", "video_id": "lost"}
    rows = [{**lost, "split": split, "label": 0} for split in ("val", "test")]
    coverage = json.dumps({"videos": 9, "without_face": rows})
    (tmp_path / "records" / "coverage.json").write_text(coverage)
    workdir(tmp_path, config)
    metrics = evaluate(config, tmp_path)
    assert metrics["coverage"]["videos_scored"] == 3
    assert metrics["coverage"]["videos_without_face"] == 1
    assert metrics["coverage"]["video_with_them"]["n_real"] == 3
