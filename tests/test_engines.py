"""The engines: the same scores and maps, chosen once, and never in silence."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import jax
import numpy as np
import pytest
import tiny
from families import config_of
from random_weights import random_variables

import matnet_jax.evaluation.engines
from matnet_jax.checkpoints.export import UnsupportedError, export_onnx, export_savedmodel
from matnet_jax.checkpoints.network import save_network
from matnet_jax.config.build import build_model
from matnet_jax.evaluation.converted import KEPT, content_key, converted
from matnet_jax.evaluation.engines import chosen
from matnet_jax.evaluation.run import evaluate
from matnet_jax.metrics.scores import read_scores
from matnet_jax.predict import Predictor
from matnet_jax.predict.command import COMMAND
from matnet_jax.predict.network import exported_network, trained_network
from matnet_jax.pretrained.export import COMMAND as EXPORT
from matnet_jax.pretrained.manifest import LIMITS
from matnet_jax.pretrained.trained import load_trained

pytest.importorskip("onnxruntime")

pytestmark = pytest.mark.usefixtures("no_charts")

ROOT = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MATNET_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def network_in(folder: Path, name: str) -> Path:
    """A workdir of random weights."""
    config = config_of(name)
    model = build_model(config)
    variables = random_variables(model, tiny.images(model, 1))
    save_network(folder, config, model, variables, metadata={})
    return folder


@pytest.mark.parametrize("name", ["mat", "classifier", "face_xray"])
def test_scores_and_maps_are_the_same(name: str, tmp_path: Path) -> None:
    workdir, crops = network_in(tmp_path / "run", name), tiny.pixels(5)
    own = trained_network(workdir, batch_size=8, engine="jax")
    other = trained_network(workdir, batch_size=8)
    assert own.engine.startswith("jax ") and other.engine.startswith("onnxruntime ")
    assert (own.about, own.crops, own.limits) == (other.about, other.crops, other.limits)
    (scores, maps), (scores_there, maps_there) = own(crops), other(crops)
    assert scores_there.shape == (5,) and np.ptp(scores) > 0
    np.testing.assert_allclose(scores_there, scores, atol=1e-4)
    np.testing.assert_allclose(other(crops[:2])[0], scores[:2], atol=1e-4)
    assert maps is not None and maps_there is not None
    np.testing.assert_allclose(maps_there, maps, atol=1e-4 * max(1.0, float(maps.max())))


@pytest.mark.parametrize("name", ["mat", "meso4"])
def test_an_evaluation_finds_the_same(name: str, tmp_path: Path) -> None:
    config, workdir = config_of(name), network_in(tmp_path / "run", name)
    found = {
        engine: evaluate(config, workdir, out=tmp_path / engine, engine=engine)
        for engine in ("auto", "jax")
    }
    auto, own = found["auto"], found["jax"]
    assert auto["network"]["engine"].startswith("onnxruntime ")
    assert own["network"]["engine"].startswith("jax ")
    assert auto["loss"] == pytest.approx(own["loss"], abs=1e-4)
    scores = [read_scores(tmp_path / engine / "scores.csv") for engine in found]
    np.testing.assert_allclose(scores[0]["score"], scores[1]["score"], atol=1e-4)
    for key in ("video_id", "frame", "label"):
        np.testing.assert_array_equal(scores[0][key], scores[1][key])
    if name == "mat":
        assert auto["attention"].keys() == own["attention"].keys()


def test_a_network_is_converted_once(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workdir = network_in(tmp_path / "run", "meso4")
    for i in range(KEPT):
        (cache / "onnx" / f"old{i}").mkdir(parents=True)
    folder = converted(load_trained(workdir))
    assert folder.parent == cache / "onnx" and folder.is_dir()
    assert len(list(folder.parent.iterdir())) == KEPT  # the oldest is gone
    monkeypatch.setattr("matnet_jax.evaluation.converted.export_onnx", None)
    trained = load_trained(workdir)
    os.utime(folder, (1, 1))
    assert converted(trained) == folder and folder.stat().st_mtime > 1  # in use: not the oldest
    moved = jax.tree.map(lambda x: x + 1, trained.variables)
    assert content_key(dataclasses.replace(trained, variables=moved)) != folder.name


def test_a_damaged_copy_is_made_again(tmp_path: Path, cache: Path) -> None:
    workdir = network_in(tmp_path / "run", "meso4")
    folder = converted(load_trained(workdir))
    for damage in ("model.onnx", "preprocess.json"):
        (folder / damage).write_bytes(b"cut o")
        assert trained_network(workdir, engine="onnx").engine.startswith("onnxruntime")


@pytest.mark.parametrize(
    "error", [UnsupportedError("its primitive sort"), OSError("the disk is full")], ids=type
)
def test_where_it_cannot_be_converted_jax_computes_and_says_why(
    error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workdir = network_in(tmp_path / "run", "meso4")

    def refuse(_: Any) -> Path:
        raise error

    monkeypatch.setattr(matnet_jax.evaluation.engines, "converted", refuse)
    assert trained_network(workdir).engine == f"jax {jax.__version__} ({error})"
    with pytest.raises(type(error), match=str(error)):
        trained_network(workdir, engine="onnx")


def test_the_engine_is_chosen_by_what_is_here(monkeypatch: pytest.MonkeyPatch) -> None:
    assert (chosen("auto"), chosen("jax"), chosen("onnx")) == ("onnx", "jax", "onnx")
    with pytest.raises(ValueError, match="unknown engine 'tf'; available: auto, jax, onnx"):
        chosen("tf")
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert chosen("auto") == "jax"
    monkeypatch.undo()
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    assert chosen("auto") == "jax"
    with pytest.raises(ValueError, match="for one process, and this job has several"):
        chosen("onnx")
    monkeypatch.undo()
    monkeypatch.setattr(
        matnet_jax.evaluation.engines.importlib.util,
        "find_spec",
        lambda name: None,
    )
    assert chosen("auto") == "jax"
    with pytest.raises(ModuleNotFoundError, match=r"matnet-jax\[onnx\]"):
        chosen("onnx")


def test_the_commands_export_and_score(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    workdir, out = network_in(tmp_path / "run", "meso4"), tmp_path / "exported"
    assert EXPORT([f"--workdir={workdir}", f"--out={out}", "--format=onnx"]) == 0
    details = json.loads((out / "preprocess.json").read_text())
    assert details["checkpoint"]["step"] == 0 and details["limits"] == LIMITS
    assert EXPORT([f"--workdir={workdir}", "--out=x", "--format=onnx", "--platforms=cpu"]) == 1
    assert EXPORT(["--out=x"]) == 1
    assert "--workdir=DIR and --weights=NAME" in capsys.readouterr().err

    cv2.imwrite(str(tmp_path / "face.png"), tiny.pixels(1)[0])
    scores = []
    for engine in ("onnx", "jax"):
        arguments = [f"--workdir={workdir}", f"--engine={engine}", "--detector=none"]
        to = tmp_path / engine
        assert COMMAND([*arguments, f"--out={to}", str(tmp_path / "face.png")]) == 0
        assert f"engine: {engine}" in capsys.readouterr().err
        [entry] = json.loads((to / "predictions.json").read_text())
        scores.append(entry["score"])
    assert scores[0] == pytest.approx(scores[1], abs=1e-4)


def test_onnx_runtime_tells_no_one(tmp_path: Path) -> None:
    """By default it keeps an identifier of the device and events to send."""
    places = {name: str(tmp_path) for name in ("HOME", "TMPDIR", "XDG_CACHE_HOME")}
    inside = {k: v for k, v in os.environ.items() if k != "ORT_DISABLE_TELEMETRY"} | places
    code = (
        "from data_pipeline.onnx_runtime import onnx_runtime\n"
        "from data_pipeline.detectors.yunet import WEIGHTS\n"
        "onnx_runtime().InferenceSession(str(WEIGHTS))"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=inside, check=True)
    assert list(tmp_path.rglob("*")) == []


def test_every_format_predicts(tmp_path: Path) -> None:
    workdir, crops = network_in(tmp_path / "run", "meso4"), tiny.pixels(3)
    trained = load_trained(workdir)
    scores, _ = trained_network(workdir, batch_size=4, engine="jax")(crops)
    onnx = export_onnx(trained.model, trained.variables, tmp_path / "onnx")
    predictor = Predictor.from_export(onnx, batch_size=4)
    assert predictor.network.limits == LIMITS
    np.testing.assert_allclose(predictor.network(crops)[0], scores, atol=1e-4)
    (onnx / "model.onnx").write_bytes(b"damaged")
    with pytest.raises(ValueError, match="damaged"):
        exported_network(onnx)
    pytest.importorskip("tensorflow")
    saved = export_savedmodel(
        trained.model, trained.variables, tmp_path / "saved", platforms=("cpu",)
    )
    found, _ = exported_network(saved, batch_size=4)(crops)
    np.testing.assert_allclose(found, scores, atol=1e-4)
