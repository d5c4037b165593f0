"""Sharpness-aware minimisation: against NumPy and optax, what it moves, and in whole runs."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import tiny
from test_train import parameters, tiny_data  # noqa: F401 (a fixture)

from matnet_jax.config import default_config
from matnet_jax.detectors.base import Detector
from matnet_jax.runtime.sharding import data_mesh, global_batch, replicate
from matnet_jax.train.accumulate import accumulated
from matnet_jax.train.optim import create_ascent, create_optimizer
from matnet_jax.train.plan import build_ascent
from matnet_jax.train.run import train
from matnet_jax.train.sam import sharpness_aware
from matnet_jax.train.state import create_train_state
from matnet_jax.train.step import make_loss, make_train_step

KEY = jax.random.key(0)
RHO = 0.3


def regression(params: Any, collections: Any, batch: Any, key: Any, step: Any) -> Any:
    """Least squares, and a collection that goes a tenth of its way to the inputs' mean."""

    def loss(params: Any) -> Any:
        return jnp.mean((batch["x"] @ params["a"] + params["b"] - batch["y"]) ** 2)

    value, grads = jax.value_and_grad(loss)(params)
    moved = collections + 0.1 * (batch["x"].mean(0) - collections)
    return grads, moved, {"loss": value, "draw": jax.random.uniform(key)}


def regression_in_numpy(a: Any, b: Any, x: Any, y: Any) -> Any:
    residual = x @ a + b - y
    return 2 * x.T @ residual / len(x), 2 * residual.mean(), (residual**2).mean()


@pytest.fixture
def given() -> Any:
    draw = np.random.default_rng(0)
    batch = {"x": draw.normal(size=(12, 3)).astype("f"), "y": draw.normal(size=12).astype("f")}
    return {"a": jnp.array([1.0, -2.0, 0.5]), "b": jnp.array(0.5)}, jnp.zeros(3), batch


@pytest.mark.parametrize("freeze", [(), ("b",)])
def test_the_gradient_is_that_uphill(given: Any, freeze: Any) -> None:
    """A frozen parameter stays where it is, and has no part in the norm."""
    params, start, batch = given
    x, y = batch["x"].astype(float), batch["y"].astype(float)
    a, b = np.array([1.0, -2.0, 0.5]), 0.5
    at_a, at_b, loss = regression_in_numpy(a, b, x, y)
    norm = np.sqrt((at_a**2).sum() + (0 if freeze else at_b**2))
    raised = a + RHO * at_a / norm, b if freeze else b + RHO * at_b / norm
    want_a, want_b, raised_loss = regression_in_numpy(*raised, x, y)

    run = sharpness_aware(regression, create_ascent(RHO, freeze=freeze))
    grads, moved, metrics = jax.jit(run)(params, start, batch, KEY, 0)
    np.testing.assert_allclose(grads["a"], want_a, rtol=1e-5)
    np.testing.assert_allclose(grads["b"], want_b, rtol=1e-5)
    assert metrics["loss"] == pytest.approx(loss) and raised_loss > loss
    assert metrics["sam_loss"] == pytest.approx(raised_loss)
    np.testing.assert_allclose(moved, (1 - 0.9**2) * x.mean(0), rtol=1e-5)


def test_a_gradient_of_zero_leads_nowhere(given: Any) -> None:
    params, start, batch = given
    zero = jax.tree.map(jnp.zeros_like, params)
    solved = batch | {"y": np.zeros(12, "f")}
    run = sharpness_aware(regression, create_ascent(RHO))
    grads, _, metrics = run(zero, start, solved, KEY, 0)
    jax.tree.map(lambda g: np.testing.assert_array_equal(g, 0.0), grads)
    assert metrics["sam_loss"] == 0


def test_parts_of_a_batch_share_one_ascent(given: Any) -> None:
    params, start, batch = given
    ascent = create_ascent(RHO)
    whole, parts = (
        sharpness_aware(accumulated(regression, n), ascent)(params, start, batch, KEY, 0)
        for n in (1, 3)
    )
    drawn = [metrics.pop("draw") for *_, metrics in (whole, parts)]
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), whole[0], parts[0])
    assert parts[2]["sam_loss"] == pytest.approx(float(whole[2]["sam_loss"]), rel=1e-5)
    # Each part's collection goes 1/10 of its way twice, from their common mean in the second pass.
    np.testing.assert_allclose(parts[1], whole[1], rtol=1e-5)
    assert drawn[0] != drawn[1]  # the parts have keys of their own


def test_both_passes_draw_the_same_numbers() -> None:
    def noise(params: Any, collections: Any, batch: Any, key: Any, step: Any) -> Any:
        drawn = jax.random.normal(key)
        return {"a": drawn}, collections, {"loss": drawn}

    run = sharpness_aware(noise, create_ascent(RHO))
    _, _, metrics = run({"a": jnp.ones(())}, {}, {}, KEY, 0)
    assert metrics["loss"] == metrics["sam_loss"]


def test_as_in_optax_where_that_applies() -> None:
    """Three steps of SGD with momentum; the patch features have no batch statistics."""
    model = tiny.patch_model(tiny.tiny_classifier(dropout_rate=0.0))
    objective, ours = tiny.objective(model), create_optimizer("sgd", 0.1)
    theirs = optax.contrib.sam(
        create_optimizer("sgd", 0.1),
        optax.chain(optax.contrib.normalize(), optax.sgd(RHO)),
        opaque_mode=True,
    )
    loss = make_loss(model, objective)
    step = make_train_step(model, objective, ours, ascent=create_ascent(RHO))
    step = jax.jit(step, donate_argnums=0)
    state = create_train_state(model, ours, 0)
    params = jax.tree.map(jnp.copy, state.params)
    opt_state = theirs.init(params)
    for i in range(3):
        batch = tiny.batch(seed=i)

        def gradient(params: Any, _: Any, batch: Any = batch) -> Any:
            return jax.grad(lambda p: loss(p, {}, batch, KEY, 0)[0])(params)

        grads = gradient(params, 0)
        updates, opt_state = theirs.update(grads, opt_state, params, grad_fn=gradient)
        params = optax.apply_updates(params, updates)
        before = state
        state, _ = step(before, batch, KEY)
        assert all(leaf.is_deleted() for leaf in jax.tree.leaves(before))
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-6), state.params, params
    )


def test_same_numbers_on_one_and_on_eight_devices() -> None:
    """A network with batch statistics, its first blocks frozen and its parameters averaged."""
    model = tiny.tiny_classifier(stochastic_depth_rate=0.0, depth_coefficient=0.1)
    freeze, results = ("features/stem_conv", "features/block_0"), []
    tx = create_optimizer("sgd", 0.05, clip_norm=1.0, freeze=freeze)
    step = make_train_step(
        model,
        tiny.objective(model),
        tx,
        ema_decay=0.5,
        ascent=create_ascent(0.05, freeze=freeze),
    )
    step = jax.jit(step, donate_argnums=0, compiler_options=tiny.QUICK_COMPILE)
    for devices in (jax.devices()[:1], jax.devices()):
        mesh = data_mesh(devices)
        state = replicate(create_train_state(model, tx, 0, ema=True), mesh)
        seen = [jax.device_get(state)]
        for i in range(2):
            batch = global_batch(tiny.batch(seed=i), mesh)
            state, metrics = step(state, batch, replicate(KEY, mesh))
            seen.append(jax.device_get(state))
        results.append((seen, jax.device_get(metrics)))
    (states, metrics), (others, other_metrics) = results
    assert metrics.keys() == other_metrics.keys() and metrics["sam_loss"] > metrics["loss"]
    for name, value in metrics.items():
        assert other_metrics[name] == pytest.approx(value, rel=1e-3), name
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4), states, others
    )
    for before, after in itertools.pairwise(states):
        for name, leaves in after.params["features"].items():
            moved = jax.tree.map(
                lambda a, b: not np.array_equal(a, b), leaves, before.params["features"][name]
            )
            assert any(jax.tree.leaves(moved)) == (f"features/{name}" not in freeze), name
        jax.tree.map(
            lambda a, b, c: np.testing.assert_allclose(c, (a + b) / 2, rtol=1e-5, atol=1e-7),
            before.ema_params,
            after.params,
            after.ema_params,
        )


class OneNumber(Detector):
    """Its logits are one parameter."""

    @nn.compact
    def __call__(self, images: Any, *, train: bool = False, weight: Any = None) -> Any:
        value = self.param("value", nn.initializers.constant(0.9), ())
        return {"logits": jnp.broadcast_to(value, (len(images), 2))}


def test_a_step_whose_loss_uphill_is_not_finite_is_skipped() -> None:
    def barrier(forward: Any, batch: Any, key: Any, step: Any) -> Any:
        # The gradient stays finite on the far side of 1, where the loss is NaN.
        return -jnp.log(1 - forward(batch["image"], key=key)["logits"].mean()), {}

    model, tx = OneNumber(), optax.sgd(0.1)
    state = create_train_state(model, tx, 0)
    for rho, skipped in ((0.05, 0), (0.2, 1)):
        step = make_train_step(model, barrier, tx, ascent=create_ascent(rho), skip_nonfinite=True)
        new, metrics = jax.jit(step)(state, tiny.batch(2), KEY)
        assert metrics["skipped"] == skipped and np.isfinite(list(metrics.values())).all()
        assert (new.params["value"] == state.params["value"]) == bool(skipped)


def sbi_like(**overrides: Any) -> Any:
    """The optimiser of self-blended images, on a tiny network."""
    config = default_config(name="classifier")
    fields = {f"model.{k}": v for k, v in tiny.FIELDS.items()} | {
        "model.depth_coefficient": 0.1,
        "model.image_size": 32,
        "data.source": "synthetic",
        "data.real_repeat": 1,
        "train.batch_size": 8,
        "train.duration": "4 steps",
        "validation.batch_size": 8,
        "optimizer.name": "sgd",
        "optimizer.sam_rho": 0.05,
        "optimizer.schedule": "linear",
        "optimizer.hold": "3 steps",
    }
    config.update_from_flattened_dict(fields | overrides)
    return config


@pytest.mark.usefixtures("tiny_data")
def test_a_run_continues_exactly_and_may_change_the_radius(tmp_path: Path) -> None:
    train(sbi_like(), tmp_path / "whole")
    # The linear schedule ends with the run, but holds its rate so far.
    train(sbi_like(**{"train.duration": "2 steps"}), tmp_path / "two")
    with pytest.warns(UserWarning, match=r"config\.train\.duration"):
        train(sbi_like(), tmp_path / "two")
    pairs = zip(parameters(tmp_path / "whole"), parameters(tmp_path / "two"), strict=True)
    assert all(np.array_equal(one, other) for one, other in pairs)
    off = sbi_like(**{"train.duration": "5 steps", "optimizer.sam_rho": 0.0})
    with pytest.warns(UserWarning, match=r"config\.optimizer\.sam_rho: 0\.05 before, 0\.0 now"):
        train(off, tmp_path / "two")


def test_it_is_off_by_default() -> None:
    assert build_ascent(default_config(name="classifier")) is None
    assert build_ascent(sbi_like()) is not None
