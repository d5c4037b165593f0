"""Examples of weight 0 have no part in batch statistics or centers, whatever they hold."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny
from jax.sharding import NamedSharding, PartitionSpec
from random_weights import random_variables

from matnet_jax.backbones.xception import Block, XceptionBlock
from matnet_jax.detectors.mat.centers import update_centers
from matnet_jax.model import init_variables
from matnet_jax.nn.batch_norm import BatchNorm, Norm

WEIGHT = np.array([1, 0, 1, 1, 0, 1], np.float32)
SEEN = WEIGHT > 0


def rows(*shape: int, garbage: float = 0.0) -> np.ndarray:
    x = np.random.default_rng(0).standard_normal((6, *shape)).astype(np.float32)
    x[~SEEN] = garbage
    return x


def close(got: Any, want: Any) -> None:
    np.testing.assert_allclose(got, want, rtol=1e-6, atol=1e-6)


def trained(module: Any, variables: Any, x: Any, *args: Any, **kwargs: Any) -> Any:
    return module.apply(variables, x, *args, train=True, mutable=["batch_stats"], **kwargs)


@pytest.mark.parametrize("garbage", [1e4, np.nan, np.inf])
def test_batch_norm_is_that_of_the_seen_rows(garbage: Any) -> None:
    norm, x = BatchNorm(), rows(3, 2, 4, garbage=garbage)
    variables = random_variables(norm, x, train=False)

    def output(x: Any, weight: Any = None) -> Any:
        return trained(norm, variables, x, weight=weight)[0]

    y, new = trained(norm, variables, x, weight=WEIGHT)
    want, statistics = trained(norm, variables, x[SEEN])
    close(y[SEEN], want)
    jax.tree.map(close, new, statistics)
    if not np.isfinite(garbage):
        return  # 0 times NaN: what flows back through the output itself is the images' affair
    grad = jax.grad(lambda x: jnp.sum(jnp.sin(output(x, WEIGHT)[SEEN])))(x)
    close(grad[SEEN], jax.grad(lambda x: jnp.sum(jnp.sin(output(x))))(x[SEEN]))
    np.testing.assert_array_equal(grad[~SEEN], 0)


def test_every_group_is_that_of_its_seen_rows() -> None:
    """One group whole, one in part; the running statistics take the mean over groups."""
    norm, x = BatchNorm(group_size=3), rows(5, 4)
    variables = random_variables(norm, x, train=False)
    weight = np.array([1, 1, 1, 1, 0, 1], np.float32)
    y, new = trained(norm, variables, x, weight=weight)
    whole = norm.clone(group_size=None)
    parts = [trained(whole, variables, part) for part in (x[:3], x[[3, 5]])]
    close(y[weight > 0], np.concatenate([part[0] for part in parts]))
    for name, got in new["batch_stats"].items():
        close(got, np.mean([part[1]["batch_stats"][name] for part in parts], axis=0))


def test_a_group_that_is_left_out_whole_takes_no_part() -> None:
    norm, x = BatchNorm(group_size=3), rows(5, 4)
    variables = random_variables(norm, x, train=False)
    y, new = trained(norm, variables, x, weight=np.float32([1, 1, 1, 0, 0, 0]))
    first, statistics = trained(norm, variables, x[:3])
    close(y[:3], first)
    close(y[3:], norm.apply(variables, x[3:], train=False))
    jax.tree.map(close, new, statistics)


@pytest.mark.parametrize("group_size", [None, 2])
def test_a_batch_without_weight_leaves_the_running_statistics(group_size: Any) -> None:
    norm, x = BatchNorm(group_size=group_size), rows(5, 4, garbage=1e4)
    variables = random_variables(norm, x, train=False)
    y, new = trained(norm, variables, x, weight=np.zeros(6, np.float32))
    assert np.isfinite(y).all()
    jax.tree.map(np.testing.assert_array_equal, new["batch_stats"], variables["batch_stats"])


def test_weights_of_one_are_no_weights() -> None:
    norm, x = BatchNorm(group_size=2), rows(5, 4)
    variables = random_variables(norm, x, train=False)
    got = trained(norm, variables, x, weight=np.ones(6, np.float32))
    jax.tree.map(close, got, trained(norm, variables, x))


def test_xception_block() -> None:
    block, x = XceptionBlock(Block((4, 6), 2), False, Norm()), rows(6, 6, 4, garbage=1e3)
    variables = random_variables(block, x, train=False)
    run = jax.jit(
        lambda x, weight=None: block.apply(variables, x, True, weight, mutable=["batch_stats"])
    )
    y, new = run(x, WEIGHT)
    want, statistics = run(x[SEEN])
    np.testing.assert_allclose(y[SEEN], want, rtol=1e-5, atol=1e-5)
    jax.tree.map(close, new, statistics)


@pytest.mark.parametrize("real_only", [False, True])
def test_centers(real_only: Any) -> None:
    v, labels = rows(3, 4, garbage=np.nan), np.array([0, 0, 1, 0, 1, 1])
    centers = np.random.default_rng(1).standard_normal((3, 4)).astype(np.float32)

    def update(v: Any, labels: Any, weight: Any = None) -> Any:
        return update_centers(centers, v, labels, 0.3, real_only=real_only, weight=weight)

    close(update(v, labels, WEIGHT), update(v[SEEN], labels[SEEN]))
    np.testing.assert_array_equal(update(v, labels, np.zeros(6, np.float32)), centers)
    grad = jax.grad(lambda v: update(v, labels, WEIGHT).sum())(v)
    np.testing.assert_array_equal(grad[~SEEN], 0)


# Without drop path, whose masks depend on the batch's size.
EVEN = {"stochastic_depth_rate": 0.0, "dropout_rate": 0.0}


@pytest.mark.parametrize("recipe", ["paper", "released"])
def test_whole_network(recipe: Any) -> None:
    """MAT with remat on eight devices' worth of rows equals the seen rows alone."""
    model = tiny.tiny_model(recipe, remat=True, final_dropout_rate=0.0, **EVEN)
    variables, labels = init_variables(model, 0), np.arange(8) % 2
    weight = np.array([1, 1, 0, 1, 1, 0, 1, 1], np.float32)
    images = np.array(tiny.images(model, 8))
    images[weight == 0] = 50.0

    @jax.jit
    def run(images: Any, labels: Any, weight: Any = None) -> Any:
        mutable = ["batch_stats", "feature_centers"]
        return model.apply(
            variables, images, labels=labels, train=True, weight=weight, mutable=mutable
        )

    mesh = jax.make_mesh((8,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    sharded = jax.device_put((images, labels, weight), NamedSharding(mesh, PartitionSpec("data")))
    out, new = run(*sharded)
    seen, statistics = run(images[weight > 0], labels[weight > 0])

    def agree(got: Any, want: Any) -> None:
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5 * max(1, np.abs(want).max()))

    for name in ("logits", "attention_maps", "region_features", "global_feature"):
        agree(getattr(out, name)[weight > 0], getattr(seen, name))
    jax.tree.map(agree, dict(new), dict(statistics))


def test_plain_classifier() -> None:
    model = tiny.tiny_classifier(**EVEN)
    variables = init_variables(model, 0)
    images = np.array(tiny.images(model, 6))
    images[~SEEN] = 50.0

    @jax.jit
    def run(images: Any, weight: Any = None) -> Any:
        return model.apply(variables, images, train=True, weight=weight, mutable=["batch_stats"])

    out, new = run(images, WEIGHT)
    seen, statistics = run(images[SEEN])
    np.testing.assert_allclose(out.logits[SEEN], seen.logits, rtol=1e-4, atol=1e-4)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), new, statistics
    )
