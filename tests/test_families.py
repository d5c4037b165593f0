"""The contract that every family of detectors keeps, and one made in a test."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import chex
import cv2
import example_detector
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny
from families import TINY, batch_of, config_of, made, one_step

from data_pipeline.extract.crops import Settings
from matnet_jax.checkpoints.export import export_stablehlo
from matnet_jax.config.build import build_model
from matnet_jax.detectors import wsdan
from matnet_jax.detectors.base import Detector
from matnet_jax.detectors.inference import infer
from matnet_jax.detectors.registry import FAMILIES
from matnet_jax.detectors.variables import abstract_variables, init_variables
from matnet_jax.evaluation.run import evaluate
from matnet_jax.model import create_detector, detectors
from matnet_jax.predict import Predictor
from matnet_jax.predict.files import predict_files
from matnet_jax.predict.network import exported_network, trained_network
from matnet_jax.pretrained.trained import load_trained
from matnet_jax.train.run import train

NAMES = (*FAMILIES, "example")

pytestmark = pytest.mark.usefixtures("two_devices", "no_charts")


@pytest.fixture(scope="module", params=NAMES)
def name(request: pytest.FixtureRequest) -> Any:
    """One family after another: what is compiled for one of its tests serves the others."""
    return request.param


@pytest.fixture(autouse=True)
def example(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one line that a new family is."""
    monkeypatch.setitem(FAMILIES, "example", example_detector.FAMILY)


@pytest.fixture(autouse=True)
def gentle_root(monkeypatch: pytest.MonkeyPatch) -> None:
    """WS-DAN's signed root, not steep at 0.

    Some of an untrained network's features are nearly 0 there, and rounding is most of their
    gradient: one device's norm of gradients was a fifth from that of two.
    """
    monkeypatch.setattr(wsdan, "_EPSILON", 1.0)


def test_outputs(name: Any) -> None:
    model, _ = made(name)
    assert isinstance(model, Detector) and name in detectors()
    variables = jax.eval_shape(lambda: init_variables(model, 0))
    images = jax.ShapeDtypeStruct((3, tiny.SIZE, tiny.SIZE, 3), jnp.float32)
    found = jax.eval_shape(lambda v, x: infer(model, v, x), variables, images)
    chex.assert_shape(found.score, (3,))
    chex.assert_shape(found.outputs["logits"], (3, 2))
    for maps in found.heatmaps.values():
        chex.assert_rank(maps, 4)
        assert maps.shape[0] == 3
    for array in jax.tree.leaves(found):
        assert array.dtype == jnp.float32 and array.shape[0] == 3


def test_scores_and_maps_are_in_range(name: Any) -> None:
    model, _ = made(name)
    images = tiny.images(model, 4)
    found = jax.jit(lambda v, x: infer(model, v, x))(init_variables(model, 0), images)
    assert np.all((found.score >= 0) & (found.score <= 1))
    for maps in found.heatmaps.values():
        assert np.all(maps >= 0)


def test_bfloat16_keeps_variables_in_float32(name: Any) -> None:
    model, _ = made(name, **{"model.dtype": "bfloat16"})
    assert model.dtype == jnp.bfloat16
    variables = abstract_variables(model)
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype("float32")}
    images = jax.ShapeDtypeStruct((2, tiny.SIZE, tiny.SIZE, 3), jnp.float32)
    text = str(jax.make_jaxpr(lambda v, x: infer(model, v, x))(variables, images))
    assert "bf16" in text


def test_wrong_images_are_said(name: Any) -> None:
    model, _ = made(name)
    variables = abstract_variables(model)
    for shape, dtype in (((2, 64, 64, 3), jnp.uint8), ((2, 64, 64, 1), jnp.float32)):
        with pytest.raises(ValueError, match="images must be"):
            jax.eval_shape(model.apply, variables, jax.ShapeDtypeStruct(shape, dtype))


def test_a_step_is_finite_and_the_same_on_one_and_eight_devices(name: Any) -> None:
    (state, metrics), (other, others) = (
        one_step(name, batch_of(name), devices) for devices in (jax.devices()[:1], jax.devices())
    )
    chex.assert_tree_all_finite((state, metrics))
    assert state.step == 1 and metrics["loss"] > 0
    chex.assert_trees_all_close(metrics, others, rtol=1e-3, atol=1e-5)
    chex.assert_trees_all_close(state.params, other.params, rtol=1e-3, atol=1e-4)


def test_examples_of_weight_0_do_not_count(name: Any) -> None:
    batch = batch_of(name)
    left_out = batch["weight"] == 0
    other = {key: value.copy() for key, value in batch.items()}
    other["image"][left_out] = 255 - other["image"][left_out]
    other["label"][left_out] = 1 - other["label"][left_out]
    if "mask" in batch:
        other["mask"][left_out] = 255 - other["mask"][left_out]
    results = [one_step(name, given, jax.devices()[:1]) for given in (batch, other)]
    chex.assert_trees_all_close(*results, rtol=1e-4, atol=1e-6)


def test_from_training_to_prediction(name: Any, tmp_path: Path) -> None:
    """Trained, evaluated, restored, exported: the same network throughout."""
    config = config_of(name)
    assert train(config, tmp_path)["step"] == 2
    metrics = evaluate(config, tmp_path)
    assert metrics["frame"]["n_fake"] > 0 and np.isfinite(metrics["loss"])
    page = (tmp_path / "eval" / "test" / "report.html").read_text()
    loaded = load_trained(tmp_path)
    assert loaded.model == build_model(config)
    assert loaded.metadata["config"]["model"]["name"] == name
    assert ("alt=" in page) == bool(model_heatmaps(loaded))

    images = tmp_path / "faces"
    images.mkdir()
    cv2.imwrite(str(images / "face.png"), tiny.pixels(1)[0])
    settings = Settings(detector="none", faces="all", crop_size=tiny.SIZE)
    predictor = Predictor.from_workdir(tmp_path, batch_size=8, settings=settings)
    done = predict_files(predictor, [str(images / "face.png")], tmp_path / "scored", overlay=True)
    assert [p.error for p in done] == [""] and 0 <= done[0].score <= 1
    assert (tmp_path / "scored" / "predictions.csv").read_text().count("face.png") == 1
    assert len(list((tmp_path / "scored" / "overlays").iterdir())) == 1

    crops = np.asarray(tiny.pixels(5))
    own, maps = trained_network(tmp_path, batch_size=8)(crops)
    export_stablehlo(loaded.model, loaded.variables, tmp_path / "out", platforms=("cpu",))
    exported, exported_maps = exported_network(tmp_path / "out", batch_size=8)(crops)
    np.testing.assert_allclose(exported, own, atol=1e-5)
    described = json.loads((tmp_path / "out" / "preprocess.json").read_text())
    assert bool(described["heatmaps"]) == (maps is not None)
    if maps is not None:
        np.testing.assert_allclose(exported_maps, maps, atol=1e-4)


def model_heatmaps(loaded: Any) -> Any:
    images = tiny.images(loaded.model, 1)
    return jax.eval_shape(lambda x: infer(loaded.model, loaded.variables, x), images).heatmaps


def test_its_config_has_its_fields_only(name: Any) -> None:
    config, family = config_of(name), FAMILIES[name]
    sections = set(family.sections)
    for other in FAMILIES.values():
        assert (set(other.sections) - sections).isdisjoint(config)
    known = {field.name for field in dataclasses.fields(family.model)}
    assert set(config.model) - {"name", "kind"} <= known


def test_an_unknown_name_or_field_says_what_there_is() -> None:
    with pytest.raises(ValueError, match="unknown detector 'matt'; available: mat, classifier"):
        create_detector("matt")
    with pytest.raises(ValueError, match="no field 'widht'; did you mean 'width'"):
        create_detector("example", widht=3)
    with pytest.raises(ValueError, match="unknown recipe 'released'; available: paper"):
        create_detector("example", recipe="released")
    assert create_detector("mat", recipe="released", **TINY["mat"]).texture_version == "v2"
