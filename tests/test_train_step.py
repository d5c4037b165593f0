"""The training step: its loss against NumPy, what it moves, and the same numbers on 8 devices."""

from __future__ import annotations

import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import reference
import reference_losses
import tiny

from matnet_jax.detectors.mat import agda
from matnet_jax.detectors.mat.agda import RELEASED, AGDAOptions
from matnet_jax.detectors.mat.objective import LossOptions
from matnet_jax.evaluation.step import make_eval_step
from matnet_jax.model import init_variables
from matnet_jax.train.state import create_train_state
from matnet_jax.train.step import make_loss, make_train_step

KEY = jax.random.key(0)
INDEX = np.array([0, 1, 2, 3, 3, 2, 1, 0])
RELEASED_LOSSES = LossOptions(
    auxiliary_weight=0.5, match=0.1, inner_margin=(0.1, -2.0), outer_margin=0.5
)
RECIPES = {
    "paper": {"options": LossOptions(), "agda": AGDAOptions()},
    "released": {"options": RELEASED_LOSSES, "agda": RELEASED, "centers_move_twice": True},
}


def patches(recipe: str = "paper", **overrides: Any) -> Any:
    return tiny.patch_model(tiny.tiny_model(recipe, **overrides))


def rate_by_step(step: Any) -> Any:
    """0.05, times 0.9 after every two steps."""
    return 0.05 * 0.9 ** (step // 2)


def step_of(model: Any, tx: Any, recipe: str = "paper", **fields: Any) -> Any:
    given = RECIPES[recipe] | {"center_rate": rate_by_step} | fields
    own = {name: given.pop(name) for name in ("ema_decay", "accumulate") if name in given}
    step = make_train_step(model, tiny.objective(model, **given), tx, **own)
    return jax.jit(step, donate_argnums=0, compiler_options=tiny.QUICK_COMPILE)


def equal(a: Any, b: Any) -> None:
    jax.tree.map(np.testing.assert_array_equal, a, b)


# The loss of both passes against NumPy.


def loss_in_numpy(
    recipe: Any,
    variables: Any,
    batch: Any,
    options: Any,
    agda_options: Any,
    rate: Any,
    dropped: Any,
) -> Any:
    """Both passes in training mode, without dropout, on the same patch features."""
    released, version = recipe == "released", "v2" if recipe == "released" else "paper"
    labels, centers = batch["label"], variables["feature_centers"]["centers"].astype(float)
    images = batch["image"] / 255 * 2 - 1

    def forward(images: Any, centers: Any) -> Any:
        stages = {
            name: np.asarray(value, np.float64)
            for name, value in tiny.patch_features(images.astype(np.float32)).items()
        }
        parts = {"texture": stages["L2"], "attention": stages["L5"], "final": stages["final"]}
        out = reference.forward(parts, variables, recipe, train=True)
        moved = reference_losses.update_centers(
            centers, out["region_features"], labels, rate, real_only=released
        )
        return out, moved

    out, centers = forward(images, centers)
    intra = reference_losses.ril_intra(
        out["region_features"], centers, labels, options.inner_margin, version
    )
    salience = reference_losses.salience(out["attention_maps"], dropped, images.shape[1:3])
    degraded = reference_losses.degrade(
        images, agda_options.scale, agda_options.kernel_size, agda_options.sigma
    )
    weight = salience
    if released:
        weight = reference_losses.released_weight(
            salience, agda_options.threshold[0], agda_options.zoom[0]
        )
    second, moved = forward(reference_losses.soft(images, degraded, weight), centers)
    inter = reference_losses.ril_inter(centers, options.outer_margin, rate, version)
    want = {
        "cross_entropy": reference_losses.cross_entropy(out["logits"], labels).mean(),
        "ril": intra.mean() + inter,
        "augmented_cross_entropy": reference_losses.cross_entropy(second["logits"], labels).mean(),
        "accuracy": (out["logits"].argmax(-1) == labels).mean(),
    }
    want["loss"] = (
        want["cross_entropy"]
        + options.auxiliary_weight * want["ril"]
        + want["augmented_cross_entropy"]
    )
    if released:
        want["match"] = reference_losses.match(
            second["region_features"], out["region_features"], dropped
        ).mean()
        want["loss"] += options.match * want["match"]
    return want, moved if released else centers


@pytest.mark.parametrize("recipe", RECIPES)
def test_loss_of_both_passes(recipe: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Eq. 5 with the augmented pass; in the released recipe the centers move twice."""
    model = patches(recipe, dropout_rate=0.0, final_dropout_rate=0.0)
    fixed = AGDAOptions(scale=0.25, kernel_size=5, threshold=(0.5, 0.5))
    if recipe == "released":
        fixed = AGDAOptions(scale=0.25, kernel_size=5, threshold=(0.45, 0.45), zoom=(4.0, 4.0))
    monkeypatch.setattr(agda, "choose_map", lambda *_: jnp.asarray(INDEX))
    variables = init_variables(model, 0)
    variables["feature_centers"]["centers"] = 0.1 * np.random.default_rng(0).standard_normal(
        (4, 8)
    ).astype(np.float32)
    batch, options = tiny.batch(), RECIPES[recipe]["options"]
    twice = recipe == "released"
    loss = make_loss(model, tiny.objective(model, options, fixed, 0.04, centers_move_twice=twice))
    collections = {k: v for k, v in variables.items() if k != "params"}
    loss = jax.jit(loss, compiler_options=tiny.QUICK_COMPILE)
    total, (new, metrics) = loss(variables["params"], collections, batch, KEY, 0)
    want, centers = loss_in_numpy(recipe, variables, batch, options, fixed, 0.04, INDEX)
    assert metrics.pop("center_rate") == np.float32(0.04)
    assert set(metrics) == set(want) and total == metrics["loss"]
    for name, value in want.items():
        assert metrics[name] == pytest.approx(value, rel=1e-3), name
    np.testing.assert_allclose(new["feature_centers"]["centers"], centers, rtol=1e-3, atol=1e-6)


# What a step moves, and what it leaves.


@pytest.fixture(scope="module")
def paper() -> Any:
    """The paper's step with averaged parameters, and a maker of its first state."""
    model, tx = patches(), optax.adam(1e-2)
    return step_of(model, tx, ema_decay=0.75), lambda: create_train_state(model, tx, 0, ema=True)


@pytest.fixture(scope="module")
def released() -> Any:
    model, tx = patches("released"), optax.adam(1e-3)
    return step_of(model, tx, "released"), lambda: create_train_state(model, tx, 0)


@pytest.fixture(scope="module")
def paper_run(paper: Any) -> Any:
    """Three steps of the paper's recipe: the step, the states and the metrics."""
    step, start = paper
    state = start()
    states, metrics = [jax.device_get(state)], []
    for i in range(3):
        state, values = step(state, tiny.batch(seed=i), KEY)
        states.append(jax.device_get(state))
        metrics.append(jax.device_get(values))
    return step, states, metrics


def test_steps_are_counted_and_everything_moves(paper_run: Any) -> None:
    _, states, metrics = paper_run
    assert [int(s.step) for s in states] == [0, 1, 2, 3]
    assert not states[0].collections["feature_centers"]["centers"].any()
    for before, after in itertools.pairwise(states):
        assert np.abs(
            after.collections["feature_centers"]["centers"]
            - before.collections["feature_centers"]["centers"]
        ).max()
        moved = jax.tree.map(lambda a, b: not np.array_equal(a, b), before, after)
        assert all(jax.tree.leaves(moved.collections["batch_stats"]))
        assert np.mean(jax.tree.leaves(moved.params)) > 0.9
    assert all(np.isfinite(v) and v.dtype == np.float32 for m in metrics for v in m.values())


def test_a_changing_center_rate_does_not_retrace(paper_run: Any) -> None:
    step, _, metrics = paper_run
    assert step._cache_size() == 1
    np.testing.assert_allclose([m["center_rate"] for m in metrics], [0.05, 0.05, 0.045], rtol=1e-6)


def test_averaged_parameters(paper_run: Any) -> None:
    _, states, _ = paper_run
    equal(states[0].ema_params, states[0].params)
    for before, after in itertools.pairwise(states):
        want = jax.tree.map(lambda a, b: 0.75 * a + 0.25 * b, before.ema_params, after.params)
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7),
            after.ema_params,
            want,
        )
        equal(after.eval_variables["params"], after.ema_params)
        equal(after.variables["params"], after.params)


def test_the_loss_falls_on_a_repeated_batch(paper: Any) -> None:
    step, start = paper
    state, losses = start(), []
    for _ in range(20):
        state, metrics = step(state, tiny.batch(), KEY)
        losses.append(float(metrics["cross_entropy"]))
    assert losses[-1] < 0.5 * losses[0]


def test_the_step_donates_its_state_but_not_the_callers_variables() -> None:
    model, tx = patches(), optax.sgd(0.1)
    variables = jax.tree.map(jnp.asarray, init_variables(model, 0))
    state = create_train_state(model, tx, 0, variables=variables)
    assert state.ema_params is None
    step_of(model, tx, agda=None)(state, tiny.batch(), KEY)
    assert all(leaf.is_deleted() for leaf in jax.tree.leaves(state.params))
    equal(variables, init_variables(model, 0))


def test_draws_depend_on_the_step_and_the_root_key_only(released: Any) -> None:
    step, start = released

    def run(at: Any, key: Any) -> Any:
        state = start().replace(step=jnp.asarray(at, jnp.int32))
        return {k: float(v) for k, v in step(state, tiny.batch(), key)[1].items()}

    assert run(3, KEY) == run(3, KEY)
    for name in ("cross_entropy", "augmented_cross_entropy", "match"):
        assert run(2, KEY)[name] != run(3, KEY)[name]
        assert run(3, KEY)[name] != run(3, jax.random.key(1))[name]


def test_released_recipe_trains_on_a_first_batch_without_a_real_image(released: Any) -> None:
    step, start = released
    state, batch = start(), tiny.batch(label=np.ones(tiny.BATCH, np.int32))
    for _ in range(2):
        state, metrics = step(state, batch, KEY)
        assert all(np.isfinite(v) for v in metrics.values())
        np.testing.assert_array_equal(state.collections["feature_centers"]["centers"], 0)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(state))


def test_masked_examples_add_nothing_to_the_losses(paper: Any) -> None:
    """Their label does not matter, and the cross entropy is the mean over the others."""
    step, start = paper
    model, weight = patches(), np.array([1, 1, 1, 0, 1, 0, 1, 1], np.float32)
    batch = tiny.batch(weight=weight)
    other = batch | {"label": np.where(weight == 0, 1 - batch["label"], batch["label"])}
    results = [step(start(), b, KEY) for b in (batch, other)]
    equal(*results)
    variables = init_variables(model, 0)
    x = model.preprocess.normalize(batch["image"])
    training = {"train": True, "weight": weight, "mutable": ["batch_stats"]}
    logits = jax.jit(lambda v: model.apply(v, x, **training)[0].logits)(variables)
    per_example = reference_losses.cross_entropy(np.asarray(logits), batch["label"])
    want = per_example[weight == 1].mean()
    assert results[0][1]["cross_entropy"] == pytest.approx(want, rel=1e-4)


def test_without_weights_every_example_counts(paper: Any) -> None:
    """As in training, whose batches are never padded; to rounding, for the sums are others."""
    step, start = paper
    batch = tiny.batch(weight=np.ones(8, np.float32))
    bare = {name: array for name, array in batch.items() if name != "weight"}
    weighed, plain = (step(start(), given, KEY)[1] for given in (batch, bare))
    for name, value in plain.items():
        assert float(weighed[name]) == pytest.approx(float(value), rel=1e-3), name


def loss_metrics(model: Any, options: Any, agda_options: Any = None) -> Any:
    variables = init_variables(model, 0)
    collections = {k: v for k, v in variables.items() if k != "params"}
    loss = make_loss(model, tiny.objective(model, options, agda_options))
    loss = jax.jit(loss, compiler_options=tiny.QUICK_COMPILE)
    _, (new, metrics) = loss(variables["params"], collections, tiny.batch(), KEY, 0)
    return jax.device_get((new, metrics))


def test_sum_over_the_batch_is_the_printed_form() -> None:
    model = patches()
    mean, total = (
        loss_metrics(model, LossOptions(batch_reduction=r, outer_margin=0.0))[1]["ril"]
        for r in ("mean", "sum")
    )
    assert mean > 0 and total == pytest.approx(tiny.BATCH * mean, rel=1e-5)


def test_second_pass_moves_the_batch_statistics_again_but_not_the_papers_centers() -> None:
    model = patches()
    none, off, soft = (
        loss_metrics(model, LossOptions(), a)
        for a in (None, AGDAOptions(mode="none"), AGDAOptions(mode="soft"))
    )
    equal(none, off)
    assert "augmented_cross_entropy" not in none[1]
    equal(none[0]["feature_centers"], soft[0]["feature_centers"])
    once, twice = (r[0]["batch_stats"]["attention"]["project_bn"]["mean"] for r in (none, soft))
    assert np.abs(once - twice).max() > 1e-4


def test_ams_replaces_ril() -> None:
    _, metrics = loss_metrics(patches(ams=True), LossOptions(auxiliary="ams", ams_scale=10.0))
    assert "ril" not in metrics
    assert metrics["loss"] == pytest.approx(metrics["cross_entropy"] + metrics["ams"], rel=1e-5)


def test_one_map_without_auxiliary_loss() -> None:
    _, metrics = loss_metrics(patches(num_attentions=1), LossOptions(auxiliary="none"))
    assert metrics["loss"] == metrics["cross_entropy"]


def test_plain_classifier_trains() -> None:
    model, tx = tiny.patch_model(tiny.tiny_classifier()), optax.adam(1e-2)
    step = step_of(model, tx, options=LossOptions(auxiliary="none"), agda=None)
    state, losses = create_train_state(model, tx, 0), []
    for _ in range(10):
        state, metrics = step(state, tiny.batch(), KEY)
        losses.append(float(metrics["loss"]))
    assert losses[-1] < 0.7 * losses[0] and "feature_centers" not in state.collections


# Errors.


def test_what_the_model_lacks_is_an_error() -> None:
    classifier = tiny.tiny_classifier()
    for options, augment in (
        (LossOptions(), None),
        (LossOptions(auxiliary="none"), AGDAOptions()),
    ):
        with pytest.raises(ValueError, match="plain classifier has no attention maps"):
            trace_loss(classifier, tiny.objective(patches(), options, augment))
    with pytest.raises(ValueError, match="ams=True"):
        trace_loss(patches(), tiny.objective(patches(), LossOptions(auxiliary="ams")))


def trace_loss(model: Any, objective: Any) -> None:
    collections = dict(init_variables(model, 0))
    params = collections.pop("params")
    jax.eval_shape(make_loss(model, objective), params, collections, tiny.batch(), KEY, 0)


@pytest.mark.parametrize(("decay", "ema"), [(0.9, False), (None, True)])
def test_averaging_is_asked_of_step_and_state_together(decay: Any, ema: Any) -> None:
    model, tx = patches(), optax.sgd(0.1)
    state = create_train_state(model, tx, 0, ema=ema)
    step = step_of(model, tx, agda=None, ema_decay=decay)
    with pytest.raises(ValueError, match=f"ema_decay={decay}, but its state holds"):
        jax.eval_shape(step, state, tiny.batch(), KEY)


@pytest.mark.parametrize("field", ["auxiliary", "batch_reduction"])
def test_wrong_loss_options(field: Any) -> None:
    with pytest.raises(ValueError, match=f"LossOptions.{field} must be one of .*'max'"):
        LossOptions(**{field: "max"})


# Evaluation.


def test_evaluation_step() -> None:
    model = patches()
    variables, weight = init_variables(model, 0), np.array([1, 1, 1, 1, 1, 1, 0, 0], np.float32)
    batch = tiny.batch(weight=weight)
    x = model.preprocess.normalize(batch["image"])
    got, out = jax.jit(lambda v: (make_eval_step(model)(v, batch), model.apply(v, x)))(variables)
    logits = np.asarray(out.logits, np.float64)
    np.testing.assert_allclose(got["logits"], logits, rtol=1e-5)
    np.testing.assert_allclose(
        got["score"], reference.sigmoid(logits[:, 1] - logits[:, 0]), rtol=1e-4
    )
    per_example = reference_losses.cross_entropy(logits, batch["label"])
    assert got["loss_sum"] == pytest.approx(per_example[:6].sum(), rel=1e-4)
    np.testing.assert_array_equal(got["heatmaps"]["attention_maps"], out.attention_maps)
