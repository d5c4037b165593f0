"""Optimisers against hand-written PyTorch-style updates; schedules against their formulas."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from matnet_jax.config.check import validate
from matnet_jax.detectors.durations import duration_in_steps
from matnet_jax.runtime.config_files import load_config
from matnet_jax.train.optim import create_optimizer, create_schedule, stop_frozen
from matnet_jax.train.plan import build_plan


def run(tx: Any, params: Any, gradients: Any) -> Any:
    state = tx.init(params)
    for gradient in gradients:
        updates, state = tx.update(gradient, state, params)
        params = optax.apply_updates(params, updates)
    return params


def numpy_adam(
    param: Any,
    gradients: Any,
    *,
    rate: Any,
    weight_decay: Any,
    coupled: Any,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
) -> Any:
    """torch.optim.Adam (coupled) or AdamW (decoupled), from their documentation."""
    param = param.astype(np.float64).copy()
    m, v = np.zeros_like(param), np.zeros_like(param)
    for t, gradient in enumerate(gradients, start=1):
        g = gradient + (weight_decay * param if coupled else 0)
        if not coupled:
            param = param - rate * weight_decay * param
        m = b1 * m + (1 - b1) * g
        v = b2 * v + (1 - b2) * g**2
        m_hat, v_hat = m / (1 - b1**t), v / (1 - b2**t)
        param = param - rate * m_hat / (np.sqrt(v_hat) + eps)
    return param


@pytest.mark.parametrize(("name", "coupled"), [("adam", True), ("adamw", False)])
def test_weight_decay_is_coupled_in_adam_and_decoupled_in_adamw(name: Any, coupled: Any) -> None:
    rng = np.random.default_rng(0)
    param = rng.normal(size=(5,)).astype(np.float32)
    gradients = [rng.normal(size=(5,)).astype(np.float32) * 0.01 for _ in range(6)]
    tx = create_optimizer(name, 0.05, weight_decay=0.1)
    ours = run(tx, {"w": jnp.asarray(param)}, [{"w": jnp.asarray(g)} for g in gradients])
    kwargs = {"rate": 0.05, "weight_decay": 0.1}
    want = numpy_adam(param, gradients, coupled=coupled, **kwargs)
    other = numpy_adam(param, gradients, coupled=not coupled, **kwargs)
    np.testing.assert_allclose(ours["w"], want, rtol=1e-5, atol=1e-6)
    assert np.abs(want - other).max() > 1e-2  # the two differ, so the test can tell them apart


def test_sgd_with_momentum() -> None:
    gradients = [{"w": jnp.ones(1)}, {"w": jnp.ones(1)}]
    params = run(create_optimizer("sgd", 0.1, momentum=0.5), {"w": jnp.zeros(1)}, gradients)
    np.testing.assert_allclose(params["w"], -0.1 * (1 + 1.5), rtol=1e-6)


def test_clipping_is_by_global_norm_of_trained_parameters() -> None:
    params = {"a": jnp.zeros(1), "b": jnp.zeros(1)}
    gradient = {"a": jnp.array([3.0]), "b": jnp.array([400.0])}
    tx = create_optimizer("sgd", 1.0, momentum=0.0, clip_norm=1.5, freeze=("b",))
    moved = run(tx, params, [gradient])
    np.testing.assert_allclose(moved["a"], -1.5, rtol=1e-6)  # b's huge gradient does not count
    np.testing.assert_array_equal(moved["b"], 0.0)


def test_frozen_parameters_stay_and_hold_no_moments() -> None:
    params = {
        "backbone": {"stem": jnp.ones(3), "block1": jnp.ones(3)},
        "backbone2": jnp.ones(3),
        "head": jnp.ones(3),
    }
    gradient = jax.tree.map(jnp.ones_like, params)
    tx = create_optimizer("adam", 0.1, weight_decay=1.0, freeze=("backbone/stem", "head/"))
    moved = run(tx, params, [gradient, gradient])
    np.testing.assert_array_equal(moved["backbone"]["stem"], 1.0)
    np.testing.assert_array_equal(moved["head"], 1.0)
    assert np.all(moved["backbone"]["block1"] < 1) and np.all(moved["backbone2"] < 1)
    moments = [x for x in jax.tree.leaves(tx.init(params)) if x.shape == (3,)]
    assert len(moments) == 2 * 2  # two moments for each of the two trained parameters


def test_patterns_train_under_a_frozen_path_and_the_rest_has_no_gradient() -> None:
    block = {"norm_1": {"scale": jnp.ones(3)}, "dense": {"kernel": jnp.ones(3)}}
    params = {"features": {"block_0": block, "norm": jnp.ones(3)}, "head": jnp.ones(3)}
    rules = ("features",), ("features/*norm_*",)
    tx = create_optimizer("adam", 0.1, freeze=rules[0], unfreeze=rules[1])
    gradient = jax.grad(lambda p: optax.tree.sum(stop_frozen(p, *rules)))(params)
    moved = run(tx, params, [jax.tree.map(jnp.ones_like, params)])
    for tree, trained, held in ((gradient, 1.0, 0.0), (moved, 0.9, 1.0)):
        for leaf in (tree["features"]["block_0"]["norm_1"]["scale"], tree["head"]):
            np.testing.assert_allclose(leaf, trained, rtol=1e-5)
        for leaf in (tree["features"]["block_0"]["dense"]["kernel"], tree["features"]["norm"]):
            np.testing.assert_array_equal(leaf, held)
    assert len([x for x in jax.tree.leaves(tx.init(params)) if x.shape == (3,)]) == 2 * 2
    with pytest.raises(ValueError, match=r"like 'features/\*bn'; 3 are frozen: features/block_0"):
        create_optimizer("adam", 0.1, freeze=rules[0], unfreeze=("features/*bn",)).init(params)


def test_unknown_freeze_prefix_lists_what_is_there() -> None:
    params = {"backbone": {"stem": jnp.ones(1), "block1": jnp.ones(1)}, "head": jnp.ones(1)}
    with pytest.raises(ValueError, match=r"'backbon'.*available: backbone, head"):
        create_optimizer("adam", 0.1, freeze=("backbon",)).init(params)
    with pytest.raises(ValueError, match="backbone/block1, backbone/stem"):
        create_optimizer("adam", 0.1, freeze=("backbone/block9",)).init(params)


def test_unknown_names_list_the_known() -> None:
    with pytest.raises(ValueError, match="adam, adamw, sgd; got 'lion'"):
        create_optimizer("lion", 0.1)
    with pytest.raises(ValueError, match="constant, step, cosine, linear; got 'quadratic'"):
        create_schedule("quadratic", 0.1, total_steps=10)
    with pytest.raises(ValueError, match="decay_steps >= 1"):
        create_schedule("step", 0.1, total_steps=10)


def test_step_schedule_halves_every_period() -> None:
    schedule = create_schedule("step", 1e-4, total_steps=100, decay_steps=5, decay_rate=0.5)
    rates = [float(schedule(step)) for step in range(15)]
    np.testing.assert_allclose(rates, [1e-4] * 5 + [5e-5] * 5 + [2.5e-5] * 5, rtol=1e-6)


def test_step_schedule_falls_when_it_is_told_to() -> None:
    schedule = create_schedule("step", 8.0, total_steps=9, decay_at=(3, 4, 7), decay_rate=0.5)
    assert [float(schedule(step)) for step in range(9)] == [8, 8, 8, 4, 2, 2, 2, 1, 1]


@pytest.mark.parametrize(
    ("network", "halvings"),
    [
        ("slowfast", (15, 25, 35, 45)),
        ("xception", (20, 30, 40, 50)),
        ("r34", (10, 15, 20, 25)),
        ("b1_long", (20, 30, 40, 55)),
        ("b0", (15, 25, 35, 45)),
    ],
)
def test_the_rates_of_eighteen_years_old(network: str, halvings: tuple[int, ...]) -> None:
    """The team's milestones, in thousands of steps: four halvings."""
    config = load_config(f"systems/eighteen_years_old:{network}")
    validate(config)
    plan = build_plan(config, 1000)
    full = config.optimizer.learning_rate
    for n, thousands in enumerate(halvings):
        rates = [float(plan.learning_rate(1000 * thousands + i)) for i in (-1, 0)]
        np.testing.assert_allclose(rates, [full / 2**n, full / 2 ** (n + 1)], rtol=1e-5)
    last = float(plan.learning_rate(plan.total_steps - 1))
    assert last == pytest.approx(full / 16, rel=1e-5)


def test_cosine_with_warmup() -> None:
    schedule = create_schedule("cosine", 2.0, total_steps=100, warmup_steps=10, final_fraction=0.1)
    steps = np.arange(101)
    cosine = 2.0 * (0.9 * 0.5 * (1 + np.cos(np.pi * steps / 100)) + 0.1)
    want = cosine * np.minimum(1, (steps + 1) / 10)
    np.testing.assert_allclose([float(schedule(int(s))) for s in steps], want, rtol=1e-5)


def test_linear_holds_and_then_falls_to_the_end() -> None:
    fields = {"total_steps": 20, "hold_steps": 12, "final_fraction": 0.25}
    schedule = create_schedule("linear", 2.0, **fields, warmup_steps=4)
    want = [0.5, 1.0, 1.5, *[2.0] * 10, *np.linspace(2.0, 0.5, 9)[1:], 0.5]
    np.testing.assert_allclose([float(schedule(step)) for step in range(22)], want, rtol=1e-6)
    # Without the hold, a line from the first step; with one that outlasts the run, a constant.
    assert float(create_schedule("linear", 2.0, total_steps=20)(5)) == 1.5
    assert float(create_schedule("linear", 2.0, total_steps=20, hold_steps=30)(20)) == 2.0


@pytest.mark.parametrize(
    ("duration", "steps"),
    [
        ("5 epochs", 150),
        ("1 epoch", 30),
        ("0.1 epochs", 3),
        (".5epoch", 15),
        ("7 steps", 7),
        ("100 examples", 25),
        ("101 examples", 26),
        ("0 steps", 0),
    ],
)
def test_durations(duration: Any, steps: Any) -> None:
    assert duration_in_steps(duration, steps_per_epoch=30, batch_size=4) == steps


@pytest.mark.parametrize("duration", ["5", "epochs", "-1 epochs", "5 hours", "", "1e3 steps"])
def test_durations_without_a_known_unit_are_refused(duration: Any) -> None:
    with pytest.raises(ValueError, match="a number and a unit"):
        duration_in_steps(duration, steps_per_epoch=30, batch_size=4)
