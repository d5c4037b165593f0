"""A batch in parts, memory against time, and steps that are skipped."""

from __future__ import annotations

import re
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from tiny import batch, objective, tiny_model
from workdirs import tiny_config

from matnet_jax.config import ConfigError
from matnet_jax.config.build import build_model
from matnet_jax.config.check import validate
from matnet_jax.config.data import build_sampler, examples_together, open_source
from matnet_jax.model import init_variables
from matnet_jax.runtime.sharding import (
    batch_sharded,
    data_mesh,
    global_batch,
    replicate,
    replicated,
)
from matnet_jax.train.accumulate import accumulated
from matnet_jax.train.metrics_log import Mean, NonFiniteError
from matnet_jax.train.state import create_train_state
from matnet_jax.train.step import make_train_step


def linear(params: Any, collections: Any, part: Any, key: Any, rate: Any) -> Any:
    """A loss that is a mean, a collection that is linear in the batch's mean."""

    def loss(params: Any) -> Any:
        return jnp.mean((part["x"] @ params - part["y"]) ** 2)

    value, grads = jax.value_and_grad(loss)(params)
    moved = collections + rate * (part["x"].mean(0) - collections)
    return grads, moved, {"loss": value}


def test_what_is_linear_in_the_mean_is_that_of_the_whole_batch() -> None:
    draw = np.random.default_rng(0)
    whole = {"x": draw.normal(size=(12, 3)).astype("f"), "y": draw.normal(size=12).astype("f")}
    args = (jnp.ones(3), jnp.zeros(3), whole, jax.random.key(0), 0.1)
    for parts in (2, 3, 12):
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5),
            jax.jit(accumulated(linear, parts))(*args),
            linear(*args),
        )
    assert accumulated(linear, 1) is linear


def test_parts_draw_different_numbers() -> None:
    def noise(params: Any, collections: Any, part: Any, key: Any, rate: Any) -> Any:
        return jax.random.normal(key), collections, {}

    averaged = accumulated(noise, 2)(0.0, 0.0, {"x": jnp.zeros(4)}, jax.random.key(0), 0.0)[0]
    keys = [jax.random.fold_in(jax.random.key(0), i) for i in range(2)]
    draws = [float(jax.random.normal(key)) for key in keys]
    assert float(averaged) == pytest.approx(np.mean(draws)) and draws[0] != draws[1]


def test_a_batch_split_over_devices_is_not_moved() -> None:
    mesh = data_mesh(jax.devices()[:4])
    run = jax.jit(
        accumulated(linear, 2),
        in_shardings=(replicated(mesh), replicated(mesh), batch_sharded(mesh), None, None),
        out_shardings=replicated(mesh),
    )
    whole = global_batch({"x": np.ones((16, 3), "f"), "y": np.ones(16, "f")}, mesh)
    args = (jnp.ones(3), jnp.zeros(3), whole, jax.random.key(0), 0.1)
    text = run.lower(*args).compile().as_text()
    assert "all-to-all" not in text and "all-gather" not in text and "all-reduce" in text


SGD = optax.sgd(0.1)


def step_of(model: Any, tx: Any = SGD, **options: Any) -> Any:
    step = make_train_step(model, objective(model), tx, **options)
    return create_train_state(model, tx, 0), jax.jit(step)


@pytest.fixture(scope="module")
def model() -> Any:
    return tiny_model(stochastic_depth_rate=0.0)


def test_rematerialisation_changes_no_result(model: Any) -> None:
    results = []
    for remat in (False, True):
        state, step = step_of(model.clone(remat=remat))
        results.append(step(state, batch(4), jax.random.key(0)))
    # Float tolerance: the compiler fuses what is computed again in another way.
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-5), *results)
    params = [init_variables(model.clone(remat=r), 0)["params"] for r in (False, True)]
    jax.tree.map(np.testing.assert_array_equal, *params)


def test_rematerialisation_holds_back_every_block(model: Any) -> None:
    """The compiler for CPUs undoes it: what it saves is measured for TPUs (benchmarks.tpu_aot)."""
    counts = []
    for remat in (False, True):
        state, step = step_of(model.clone(remat=remat))
        traced = step.trace(state, batch(4), jax.random.key(0))
        text = traced.lower(lowering_platforms=("tpu",)).as_text()
        # Of several arrays: a padded map, which has a barrier of its own, is one.
        counts.append(len(re.findall(r"optimization_barrier %[\w#]+, ", text)))
    assert counts[0] == 0 and counts[1] >= 8, counts  # the network has 8 blocks


def test_a_skipped_step_changes_nothing_but_its_number(model: Any) -> None:
    tx = optax.sgd(lambda count: 0.1, momentum=0.9)
    state, step = step_of(model, tx, skip_nonfinite=True)
    poisoned = replace_mean(batch(4))
    skipped, metrics = step(state, poisoned, jax.random.key(0))
    assert metrics["skipped"] == 1 and metrics["loss"] == 0 and skipped.step == 1
    jax.tree.map(np.testing.assert_array_equal, skipped.params, state.params)
    jax.tree.map(
        np.testing.assert_array_equal,
        skipped.collections["batch_stats"],
        state.collections["batch_stats"],
    )
    # The schedule counts on, as the log does, or a cosine would never come to its end.
    (momentum, schedule), (_, before) = skipped.opt_state, state.opt_state
    assert (before.count, schedule.count) == (0, 1)
    assert not any(leaf.any() for leaf in jax.tree.leaves(momentum))
    moved, metrics = step(skipped, batch(4), jax.random.key(0))
    assert metrics["skipped"] == 0 and np.isfinite(metrics["loss"]) and moved.step == 2


def replace_mean(given: Any) -> Any:
    """A NaN in the weight reaches the loss, as a NaN anywhere in the network would."""
    return given | {"weight": np.array([np.nan, 1, 1, 1], np.float32)}


def test_skipped_steps_are_counted_and_not_averaged() -> None:
    mean = Mean()
    mean.add(1, {"loss": 2.0, "skipped": 0.0})
    mean.add(2, {"loss": 0.0, "skipped": 1.0})
    mean = Mean(**mean.state())
    assert mean.pop() == {"loss": 2.0, "skipped_steps": 1.0}
    for step in range(3, 51):
        mean.add(step, {"loss": 0.0, "skipped": 1.0})
        assert mean.pop() == {"skipped_steps": 1.0}
    mean = Mean(**mean.state())
    with pytest.raises(NonFiniteError, match="50 steps in a row were skipped, up to step 51"):
        mean.add(51, {"loss": 0.0, "skipped": 1.0})


@pytest.mark.parametrize("balance", ["batch", "source"])
def test_a_part_of_a_balanced_batch_has_both_classes(balance: str) -> None:
    config = tiny_config(**{"data.balance": balance, "data.synthetic_identities": 4})
    source = open_source(config, "train", 32)
    rows, _ = build_sampler(config, source).batch(0)

    def seen(params: Any, collections: Any, part: Any, key: Any, step: Any) -> Any:
        return collections, jnp.zeros(()), {"fake": jnp.abs(part["label"].mean() - 0.5)}

    labels = {"label": source.columns["label"][rows].astype("f")}
    for parts in (2, 4):
        found = accumulated(seen, parts, examples_together(config))
        assert found(0.0, 0.0, labels, jax.random.key(0), 0)[2]["fake"] == 0


def test_bfloat16_computes_and_nothing_is_kept_in_it(model: Any) -> None:
    results = []
    for dtype in (jnp.float32, jnp.bfloat16):
        state, step = step_of(model.clone(dtype=dtype))
        results.append(step(state, batch(4), jax.random.key(0)))
    (_, exact), (state, metrics) = results
    assert {x.dtype for x in jax.tree.leaves(state)} == {jnp.dtype("float32"), jnp.dtype("int32")}
    assert {x.dtype for x in metrics.values()} == {jnp.dtype("float32")}
    for name in ("loss", "cross_entropy", "ril"):
        assert float(metrics[name]) == pytest.approx(float(exact[name]), rel=0.03)


def test_what_cannot_be_accumulated_is_refused() -> None:
    config = tiny_config(**{"train.accumulate": 2, "losses.batch_reduction": "sum"})
    with pytest.raises(ConfigError, match="batch_reduction = 'mean'"):
        validate(config)
    assert build_model(tiny_config(**{"train.remat": True})).remat
    from matnet_jax.runtime.sharding import check_divisible

    with pytest.raises(ValueError, match="2 devices times 3 accumulated parts; take 6 or 12"):
        check_divisible(8, 2, parts=3)
    with pytest.raises(ValueError, match="2 accumulated parts in whole groups of 2; take 8 or 16"):
        check_divisible(12, 2, parts=2, group=2)
    assert replicate(jnp.ones(2), data_mesh(jax.devices()[:2])).shape == (2,)


def test_a_part_holds_whole_groups() -> None:
    def seen(params: Any, collections: Any, part: Any, key: Any, rate: Any) -> Any:
        return collections, jnp.zeros(()), {"gap": jnp.abs(part["x"][::2] - part["x"][1::2]).max()}

    whole = {"x": jnp.arange(12.0) // 2}  # pairs of equal numbers
    for parts in (2, 3):
        apart, together = (
            accumulated(seen, parts, group)(0.0, 0.0, whole, jax.random.key(0), 0.0)[2]["gap"]
            for group in (1, 2)
        )
        assert together == 0 < apart
    draw = np.random.default_rng(0)
    batch = {"x": draw.normal(size=(12, 3)).astype("f"), "y": draw.normal(size=12).astype("f")}
    args = (jnp.ones(3), jnp.zeros(3), batch, jax.random.key(0), 0.1)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5),
        jax.jit(accumulated(linear, 3, group=2))(*args),
        linear(*args),
    )
