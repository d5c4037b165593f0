"""Convolutions, batch normalisation, stochastic depth and norms."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference
from jax import lax
from random_weights import random_variables

from matnet_jax.nn.batch_norm import BatchNorm
from matnet_jax.nn.layers import Conv, Dense, DepthwiseConv, drop_path, same_padding
from matnet_jax.nn.norms import l2_norm, l2_normalize


def images(*shape: Any, seed: int = 0) -> Any:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("k", [3, 5])
@pytest.mark.parametrize("size", [1, 7, 24, 95, 380])
def test_same_padding(size: Any, k: Any) -> None:
    for stride in (1, 2):
        want = reference.padding(size, k, stride)
        assert same_padding((size, size + 1), k, stride)[0] == want
    nominal = same_padding((size, size + 1), k, 2, nominal_size=380)
    assert nominal == (((0, 1), (0, 1)) if k == 3 else ((1, 2), (1, 2)))
    if size > 1:
        assert (size + sum(nominal[0]) - k) // 2 + 1 == size // 2


@pytest.mark.parametrize(
    ("k", "stride", "groups"), [(3, 1, 1), (3, 2, 1), (1, 1, 1), (1, 2, 1), (3, 1, 4), (5, 1, 2)]
)
def test_conv_matches_xla_and_numpy(k: Any, stride: Any, groups: Any) -> None:
    x = images(2, 7, 6, 8)
    conv = Conv(12, k, stride, groups, use_bias=True)
    variables = random_variables(conv, x)
    kernel, bias = variables["params"]["kernel"], variables["params"]["bias"]
    assert kernel.shape == (k, k, 8 // groups, 12)
    padding = same_padding((7, 6), k, stride)

    def ours(params: Any, x: Any) -> Any:
        return conv.apply({"params": params}, x)

    def xla(params: Any, x: Any) -> Any:
        y = lax.conv_general_dilated(
            x,
            params["kernel"],
            (stride, stride),
            padding,
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
            feature_group_count=groups,
        )
        return y + params["bias"]

    @jax.jit
    def both(params: Any, x: Any) -> Any:
        results = {}
        for name, f in (("ours", ours), ("xla", xla)):
            y, pullback = jax.vjp(f, params, x)
            results[name] = (y, pullback(jnp.cos(y)))
        return results

    results = both(variables["params"], x)
    want = reference.conv(x, kernel, bias, stride=stride, groups=groups)
    np.testing.assert_allclose(results["ours"][0], want, rtol=1e-4, atol=1e-5)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4),
        results["ours"],
        results["xla"],
    )


@pytest.mark.parametrize("nominal", [None, 380])
def test_convolutions_pad_by_the_nominal_size(nominal: Any) -> None:
    x = images(1, 9, 7, 3)
    pad = tuple(reference.padding(n, 5, 2, nominal) for n in (9, 7))
    for layer in (DepthwiseConv(5, 2, nominal_size=nominal), Conv(3, 5, 2, nominal_size=nominal)):
        variables = random_variables(layer, x)
        kernel = variables["params"]["kernel"]
        slow = reference.depthwise if kernel.ndim == 3 else reference.conv
        got = jax.jit(layer.apply)(variables, x)
        assert got.shape[1:3] == ((5, 4) if nominal is None else (4, 3))
        np.testing.assert_allclose(got, slow(x, kernel, stride=2, pad=pad), rtol=1e-4, atol=1e-5)


def test_explicit_zero_padding_is_not_taken_for_same() -> None:
    layer = DepthwiseConv(3, padding=((0, 0), (0, 0)))
    x = images(1, 5, 5, 2)
    assert layer.apply(random_variables(layer, x), x).shape == (1, 3, 3, 2)


def test_layers_compute_in_their_dtype_with_float32_parameters() -> None:
    x = images(2, 4, 4, 4)
    for layer, options in (
        (Conv(4, dtype=jnp.bfloat16), {}),
        (DepthwiseConv(dtype=jnp.bfloat16), {}),
        (Dense(4, dtype=jnp.bfloat16), {}),
        (BatchNorm(dtype=jnp.bfloat16), {"train": False}),
    ):
        y, variables = jax.eval_shape(
            lambda x, layer=layer, options=options: layer.init_with_output(
                jax.random.key(0), x, **options
            ),
            x,
        )
        assert y.dtype == jnp.bfloat16
        assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype("float32")}


@pytest.fixture(scope="module")
def trained_norm() -> Any:
    x = 3 + 2 * images(4, 3, 5, 6)
    norm = BatchNorm(momentum=0.9, epsilon=1e-3)
    variables = random_variables(norm, x, train=False)
    y, new = norm.apply(variables, x, train=True, mutable=["batch_stats"])
    return norm, variables, x, y, new["batch_stats"]


def test_batch_norm_output_uses_the_biased_batch_variance(trained_norm: Any) -> None:
    _, variables, x, y, _ = trained_norm
    want = reference.batch_norm(x, variables["params"], None, 1e-3)
    np.testing.assert_allclose(y, want, rtol=1e-4, atol=1e-5)


def test_batch_norm_keeps_the_unbiased_variance(trained_norm: Any) -> None:
    _, variables, x, _, new = trained_norm
    old = variables["batch_stats"]
    np.testing.assert_allclose(new["mean"], 0.9 * old["mean"] + 0.1 * x.mean((0, 1, 2)), rtol=1e-5)
    unbiased = x.reshape(-1, 6).var(0, ddof=1)
    np.testing.assert_allclose(new["var"], 0.9 * old["var"] + 0.1 * unbiased, rtol=1e-5)


def test_batch_norm_evaluates_with_running_statistics(trained_norm: Any) -> None:
    norm, variables, x, _, _ = trained_norm
    got = norm.apply(variables, x, train=False)
    want = reference.batch_norm(x, variables["params"], variables["batch_stats"], 1e-3)
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)


def test_batch_norm_gradient_flows_through_the_batch_statistics(trained_norm: Any) -> None:
    """Shifting or scaling a whole channel cannot change its normalised value."""
    norm, variables, x, y, _ = trained_norm

    def output(x: Any) -> Any:
        return norm.apply(variables, x, train=True, mutable=["batch_stats"])[0]

    (grad,) = jax.vjp(output, jnp.asarray(x))[1](jnp.cos(y))
    np.testing.assert_allclose(grad.sum((0, 1, 2)), 0, atol=1e-3)
    np.testing.assert_allclose((grad * (x - x.mean((0, 1, 2)))).sum((0, 1, 2)), 0, atol=1e-2)


def test_batch_norm_groups_are_batches_of_their_own(trained_norm: Any) -> None:
    whole, variables, x, *_ = trained_norm
    grouped = whole.clone(group_size=2)

    def run(norm: Any, x: Any) -> Any:
        return norm.apply(variables, x, train=True, mutable=["batch_stats"])

    y, new = run(grouped, x)
    parts = [run(whole, part) for part in (x[:2], x[2:])]
    np.testing.assert_allclose(y, np.concatenate([part[0] for part in parts]), rtol=1e-5, atol=1e-6)
    for name, got in new["batch_stats"].items():
        want = np.mean([part[1]["batch_stats"][name] for part in parts], axis=0)
        np.testing.assert_allclose(got, want, rtol=1e-5, err_msg=name)

    def gradient(norm: Any, x: Any) -> Any:
        def output(x: Any) -> Any:
            y, _ = run(norm, x)
            return jnp.sum(jnp.sin(y) * y)

        return jax.grad(output)(x)

    want = np.concatenate([gradient(whole, part) for part in (x[:2], x[2:])])
    np.testing.assert_allclose(gradient(grouped, x), want, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(
        grouped.apply(variables, x[:3], train=False), whole.apply(variables, x[:3], train=False)
    )


def test_batch_norm_groups_must_divide_the_batch(trained_norm: Any) -> None:
    norm, variables, x, *_ = trained_norm
    with pytest.raises(ValueError, match="bn_group_size = 3 does not divide the batch of 4"):
        norm.clone(group_size=3).apply(variables, x, train=True, mutable=["batch_stats"])


def test_initialising_in_training_mode_leaves_the_statistics() -> None:
    stats = BatchNorm().init(jax.random.key(0), images(2, 3, 3, 4), train=True)["batch_stats"]
    np.testing.assert_array_equal(stats["mean"], 0)
    np.testing.assert_array_equal(stats["var"], 1)


def test_drop_path_drops_whole_samples_and_scales_survivors() -> None:
    x = jnp.ones((400, 2, 3))
    y = np.asarray(drop_path(x, jax.random.key(0), 0.25)).reshape(400, -1)
    assert (y == y[:, :1]).all()
    np.testing.assert_allclose(np.unique(y), [0, 4 / 3], rtol=1e-6)
    # Five standard deviations of a share of 400 draws.
    assert abs((y[:, 0] == 0).mean() - 0.25) < 5 * np.sqrt(0.25 * 0.75 / 400)


@pytest.mark.parametrize("function", [l2_norm, l2_normalize])
def test_norms_have_gradient_zero_at_zero(function: Any) -> None:
    x = np.zeros((2, 3), np.float32)
    x[1] = [3, 0, 4]
    grad = jax.grad(lambda x: function(x).sum())(x)
    assert np.isfinite(grad).all()
    if function is l2_norm:
        np.testing.assert_allclose(grad, [[0, 0, 0], [0.6, 0, 0.8]], rtol=1e-6)
        assert np.isnan(jax.grad(lambda x: jnp.linalg.norm(x, axis=-1).sum())(x)[0]).all()


def test_norms_have_their_values_in_float32() -> None:
    x = images(4, 6)
    np.testing.assert_allclose(l2_normalize(x), reference.normalize(x), rtol=1e-5)
    np.testing.assert_array_equal(l2_normalize(np.zeros((2, 3), np.float32)), 0)
    assert l2_norm(jnp.ones(3, jnp.bfloat16)).dtype == jnp.float32
    assert l2_normalize(jnp.ones(3, jnp.bfloat16)).dtype == jnp.bfloat16
