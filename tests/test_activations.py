"""Swish: values and derivatives of every order that is used, and what its gradient computes."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from matnet_jax.nn.activations import swish

X = jnp.asarray([-90.0, -20.0, -3.0, -1.278, -1e-3, 0.0, 1e-3, 0.5, 3.0, 20.0, 90.0])


@pytest.mark.parametrize("order", [0, 1, 2])
def test_it_is_the_swish_of_jax(order: int) -> None:
    def derivative(function: Any) -> Any:
        for _ in range(order):
            function = jax.grad(function)
        return jax.vmap(function)(X)

    ours, theirs = derivative(swish), derivative(jax.nn.swish)
    # A sigmoid near 0 or 1 is off by what float32 rounds 1 by, times an x of up to 90.
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=4e-6 if order else 0)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16, jnp.float32])
def test_it_keeps_the_type(dtype: Any) -> None:
    x = X[2:-2].astype(dtype)
    y, back = jax.vjp(swish, x)
    assert y.dtype == back(y)[0].dtype == dtype
    tolerance = 4 * float(jnp.finfo(dtype).eps)
    wide = jax.vmap(jax.grad(jax.nn.swish))(x.astype(jnp.float32))
    np.testing.assert_allclose(
        back(jnp.ones_like(x))[0].astype(jnp.float32), wide, rtol=tolerance, atol=2 * tolerance
    )


def test_the_gradient_shares_no_sigmoid_with_the_value() -> None:
    """Else the compiler would keep the value's for it: see the rule."""
    steps = str(jax.make_jaxpr(jax.value_and_grad(lambda x: jnp.sum(swish(x))))(X))
    assert steps.count(" logistic ") == steps.count(" tanh ") == 1
    assert str(jax.make_jaxpr(jax.grad(swish))(X[0])).count(" logistic ") == 1
