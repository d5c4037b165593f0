"""Convolution over all channels: its filter gradient by matrix products against XLA's own."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import numpy as np
import pytest
from tiny import QUICK_COMPILE

from matnet_jax.nn import convolution
from matnet_jax.nn.convolution import convolve, filter_gradient, xla_convolve
from matnet_jax.nn.layers import Conv

CASES = {
    "square": ((3, 3), 1, 1, ((1, 1), (1, 1))),
    "strided": ((5, 5), 2, 1, ((1, 2), (2, 2))),
    "row": ((1, 7), 1, 1, ((0, 0), (3, 3))),
    "column, strided": ((7, 1), 3, 1, ((3, 3), (0, 0))),
    "dilated": ((3, 3), 1, 2, ((2, 2), (2, 2))),
    "dilated, strided": ((3, 5), 2, 3, ((4, 2), (6, 5))),
    "uneven": ((3, 2), 1, 1, ((2, 0), (0, 3))),
    "no padding": ((4, 3), 1, 1, ((0, 0), (0, 0))),
    "last rows unseen": ((2, 2), 3, 1, ((0, 0), (0, 0))),
}


@pytest.mark.parametrize("case", CASES)
def test_gradients_are_those_of_the_convolution(case: str) -> None:
    sides, stride, dilation, padding = CASES[case]
    draw = np.random.default_rng(0)
    x = draw.standard_normal((2, 17, 20, convolution._FEW), np.float32)
    kernel = draw.standard_normal((*sides, x.shape[-1], 3), np.float32)

    @partial(jax.jit, compiler_options=QUICK_COMPILE)
    def gradients(x: Any, kernel: Any) -> Any:
        ours, pull = jax.vjp(lambda *a: convolve(*a, stride, padding, dilation), x, kernel)
        plain, pull_plain = jax.vjp(
            lambda x, kernel: xla_convolve(x, kernel, stride, padding, dilation), x, kernel
        )
        cotangent = jax.random.normal(jax.random.key(0), ours.shape)
        by_products = filter_gradient(x, cotangent, sides, stride, padding, dilation)
        return (ours, *pull(cotangent), by_products), (plain, *pull_plain(cotangent))

    (y, of_x, of_kernel, by_products), want = gradients(x, kernel)
    for got, reference in zip((y, of_x, of_kernel), want, strict=True):
        np.testing.assert_allclose(got, reference, rtol=1e-5, atol=1e-4)
    np.testing.assert_array_equal(by_products, of_kernel)  # CPUs compute by products


@pytest.mark.parametrize(("channels", "stride", "convolutions"), [(16, 1, 2), (3, 1, 3), (3, 2, 2)])
def test_cpus_make_no_convolution_of_filter_gradients(
    channels: int, stride: int, convolutions: int
) -> None:
    """But where they see few channels at every step; TPUs and GPUs always do."""
    layer = Conv(4, 3, stride)
    x = np.zeros((1, 8, 8, channels), np.float32)
    params = jax.eval_shape(layer.init, jax.random.key(0), x)

    def loss(params: Any, x: Any) -> Any:
        return (layer.apply(params, x) ** 2).sum()

    traced = jax.jit(jax.grad(loss, (0, 1))).trace(params, x)
    for platform, count in (("cpu", convolutions), ("tpu", 3), ("cuda", 3)):
        text = traced.lower(lowering_platforms=(platform,)).as_text()
        assert text.count("stablehlo.convolution") == count, platform


def test_second_order() -> None:
    """A gradient's norm can be differentiated again, as gradient penalties do."""
    x = jax.random.normal(jax.random.key(0), (1, 5, 5, 16))
    kernel = jax.random.normal(jax.random.key(1), (3, 3, 16, 2))

    def penalty(function: Any, x: Any, kernel: Any) -> Any:
        gradient = jax.grad(lambda k: (function(x, k, 1, ((1, 1), (1, 1)), 1) ** 3).sum())(kernel)
        return (gradient**2).sum()

    got, want = (
        jax.jit(jax.grad(partial(penalty, function), (0, 1)))(x, kernel)
        for function in (convolve, xla_convolve)
    )
    for ours, plain in zip(got, want, strict=True):
        scale = np.abs(plain).max()
        np.testing.assert_allclose(ours / scale, plain / scale, atol=1e-5)
