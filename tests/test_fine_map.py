"""The map of the blending boundary: its target, its loss, and both families that can have one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import tiny
from families import config_of

from data_pipeline.synthetic import synthetic_source
from data_pipeline.training.pipeline import make_batch
from matnet_jax.checkpoints.export import export_stablehlo
from matnet_jax.config.build import build_model, build_objective, comparable, fields_read
from matnet_jax.config.schema import ConfigError, default_config
from matnet_jax.detectors.classifier import CrossEntropy, WithFineMap
from matnet_jax.detectors.fine_map import (
    FineMap,
    boundary,
    boundary_loss,
    boundary_target,
    box_mean,
    largest_of_cells,
)
from matnet_jax.detectors.variables import init_variables
from matnet_jax.evaluation.run import evaluate
from matnet_jax.predict.network import exported_network
from matnet_jax.pretrained.trained import load_trained
from matnet_jax.train.run import train
from matnet_jax.train.state import create_train_state
from matnet_jax.train.step import make_train_step

KEY = jax.random.key(0)
ON = {"fine_map.weight": 1.0, "fine_map.stage": "L2"}

# The target.


def test_the_boundary_of_a_soft_mask() -> None:
    np.testing.assert_allclose(boundary(jnp.array([0.0, 0.25, 0.5, 1.0])), [0, 0.75, 1, 0])


def test_a_thin_boundary_reaches_the_cells_that_it_crosses() -> None:
    """A hard edge between columns 31 and 32 of 64, on 4 cells: at the border of two of them."""
    mask = np.zeros((2, 64, 64), np.uint8)
    mask[0, :, 32:] = 255
    target = boundary_target(jnp.asarray(mask), (4, 4), blur=5)
    row = 4 * 0.4 * 0.6  # two of five pixels are forged
    np.testing.assert_allclose(target[0], np.tile([0, row, row, 0], (4, 1)), atol=1e-6)
    np.testing.assert_array_equal(target[1], 0.0)  # a real image
    # Without the blur a hard mask has none; a face that is forged to the border has none there.
    assert not boundary_target(jnp.asarray(mask), (4, 4), blur=1).any()
    assert not boundary_target(jnp.full((1, 64, 64), 255, jnp.uint8), (4, 4), blur=5).any()


def test_cells_of_any_size_share_the_pixels() -> None:
    draw = np.random.default_rng(0)
    images = draw.uniform(size=(2, 38, 29)).astype("f")
    got = largest_of_cells(jnp.asarray(images), (5, 29))
    row, column = np.arange(38) * 5 // 38, np.arange(29)
    for i in range(5):
        want = images[:, row == i].max(1)[:, column]
        np.testing.assert_array_equal(got[:, i], want)


def test_the_mean_over_a_square_counts_pixels_of_the_image_alone() -> None:
    images = np.random.default_rng(0).uniform(size=(1, 6, 7)).astype("f")
    got = box_mean(jnp.asarray(images), 3)
    assert got[0, 0, 0] == pytest.approx(images[0, :2, :2].mean())
    assert got[0, 3, 6] == pytest.approx(images[0, 2:5, 5:].mean())
    assert got[0, 2, 2] == pytest.approx(images[0, 1:4, 1:4].mean())


# The loss.


@pytest.mark.parametrize("focus", [0.0, 1.0, 2.0])
def test_the_loss_against_its_formula_and_its_floor(focus: float) -> None:
    draw = np.random.default_rng(0)
    logits, target = draw.normal(size=(3, 4, 4)), draw.uniform(0.01, 0.99, (3, 4, 4))
    p = 1 / (1 + np.exp(-logits))
    entropy = -(target * np.log(p) + (1 - target) * np.log(1 - p))
    want = (np.abs(target - p) ** focus * entropy).mean((1, 2))
    np.testing.assert_allclose(boundary_loss(logits, target, focus=focus), want, rtol=1e-5)
    perfect = np.log(target / (1 - target))
    floor = 0.0 if focus else -(target * np.log(target) + (1 - target) * np.log(1 - target)).mean()
    assert boundary_loss(perfect, target, focus=focus).mean() == pytest.approx(floor, abs=1e-6)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
@pytest.mark.parametrize("focus", [0.0, 1.0, 2.0])
def test_its_gradient_is_finite_everywhere(dtype: Any, focus: float) -> None:
    logits = jnp.array([[[-200.0, 0.0, 200.0, 0.0]]], dtype)
    for target in (jnp.zeros((1, 1, 4)), jnp.ones((1, 1, 4)), jnp.full((1, 1, 4), 0.5)):
        value, gradient = jax.value_and_grad(
            lambda x, t=target: boundary_loss(x, t, focus=focus).sum()
        )(logits)
        assert jnp.isfinite(value) and jnp.isfinite(gradient).all() and gradient.dtype == dtype


def test_examples_that_do_not_count_teach_nothing() -> None:
    logits = jnp.asarray(np.random.default_rng(0).normal(size=(4, 4, 4)))
    mask = np.zeros((4, 16, 16), np.uint8)
    mask[1:, 4:12, 4:12] = 255
    weight = jnp.array([1.0, 1.0, 0.0, 1.0])
    other = mask.copy()
    other[2] = 0
    got, same = (FineMap(1.0)(logits, {"mask": m, "weight": weight}) for m in (mask, other))
    target = boundary_target(jnp.asarray(mask), (4, 4), blur=5)
    want = boundary_loss(logits, target, focus=2.0)
    assert got == same == pytest.approx(float(want[jnp.array([0, 1, 3])].mean()))


# The families.


@pytest.mark.parametrize("name", ["classifier", "mat"])
def test_off_it_is_as_if_there_were_none(name: str) -> None:
    config = config_of(name)
    assert fields_read(config) == () and fields_read(config_of(name, **ON)) == ("mask",)
    params = [
        jax.eval_shape(lambda c=c: init_variables(build_model(c), 0)["params"])
        for c in (config, config_of(name, **ON))
    ]
    assert "boundary" not in params[0] and params[1].pop("boundary").keys() == {"project"}
    assert jax.tree.structure(params[0]) == jax.tree.structure(params[1])
    older = json.loads(config.to_json_best_effort())
    del older["fine_map"]  # as an earlier version wrote it
    assert build_model(older) == build_model(config) and comparable(older) == comparable(config)


def test_the_objective_is_the_plain_one_without_it() -> None:
    def objective(**values: Any) -> Any:
        config = config_of("classifier", **values)
        return build_objective(config, build_model(config), lambda duration: 10)

    assert objective() == CrossEntropy()
    assert objective(**ON) == WithFineMap(CrossEntropy(), FineMap(1.0, "L2"))


@pytest.mark.parametrize("name", ["classifier", "mat"])
def test_a_stage_that_is_not_there_is_said(name: str) -> None:
    with pytest.raises(ConfigError, match=r"no stage 'L99'; this backbone has"):
        build_model(config_of(name, **(ON | {"fine_map.stage": "L99"})))
    default = build_model(config_of(name, **(ON | {"fine_map.stage": ""})))
    assert default.boundary_stage == ""


def test_a_few_steps_on_drawn_faces_find_the_boundary() -> None:
    """A map that is the same everywhere lowers the loss too: the best of those is not enough."""
    config = config_of("classifier", **ON)
    model, tx = build_model(config), optax.adam(1e-2)
    objective = build_objective(config, model, lambda duration: 10)
    source = synthetic_source("train", seed=0, image_size=tiny.SIZE, num_identities=2)
    label = source.columns["label"]
    rows = np.concatenate([np.flatnonzero(label == k)[:4] for k in (0, 1)])
    seeds = np.zeros(len(rows), np.uint32)
    batch = make_batch(source, rows, seeds, (), tiny.SIZE, reads=("mask",))
    step = jax.jit(make_train_step(model, objective, tx), compiler_options=tiny.QUICK_COMPILE)
    state, losses = create_train_state(model, tx, 0), []
    for _ in range(70):
        state, metrics = step(state, batch, KEY)
        losses.append(float(metrics["fine_map"]))
    target = boundary_target(jnp.asarray(batch["mask"]), (16, 16), blur=5)
    constants = [
        float(boundary_loss(jnp.full(target.shape, logit), target, focus=2.0).mean())
        for logit in np.linspace(-4, 4, 81)
    ]
    assert all(np.isfinite(losses)) and losses[-1] < min(constants) < losses[0]
    images = model.preprocess.normalize(jnp.asarray(batch["image"]))
    maps = model.heatmaps(model.apply(state.variables, images))["boundary"]
    assert maps.shape == (8, 16, 16, 1)


@pytest.mark.usefixtures("two_devices", "no_charts")
def test_trained_evaluated_and_exported_with_its_map(tmp_path: Path) -> None:
    config = config_of("classifier", **ON)
    assert train(config, tmp_path)["step"] == 2
    evaluate(config, tmp_path)
    assert "alt=" in (tmp_path / "eval" / "test" / "report.html").read_text()
    loaded = load_trained(tmp_path)
    assert loaded.model.boundary_stage == "L2"
    export_stablehlo(loaded.model, loaded.variables, tmp_path / "out", platforms=("cpu",))
    described = json.loads((tmp_path / "out" / "preprocess.json").read_text())
    assert described["heatmaps"] == ["boundary", "class_activation"]
    _, maps = exported_network(tmp_path / "out", batch_size=8)(tiny.pixels(3))
    assert maps.shape == (3, 16, 16, 2) and maps.min() >= 0


def test_it_is_off_by_default() -> None:
    for name in ("classifier", "mat"):
        assert default_config(name=name).fine_map.weight == 0.0
