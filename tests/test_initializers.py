"""What a module declares is what a leaf gets, whatever its name, without compiling the network."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from matnet_jax.detectors.assembly import flatten
from matnet_jax.model import create_classifier, create_model, init_variables
from matnet_jax.nn.batch_norm import BatchNorm
from matnet_jax.nn.declared import draw_variables
from matnet_jax.nn.initializers import (
    Constant,
    Declared,
    Normal,
    TruncatedNormal,
    Uniform,
    VarianceScaling,
    fans,
)
from matnet_jax.nn.layers import Conv, Dense, DepthwiseConv

INPUT = jax.ShapeDtypeStruct((2, 8, 8, 4), jnp.float32)
# Of the initial variables at seed 3, to 3 digits: as before modules declared their initialisers.
RECORDED = {
    "paper": (tiny.tiny_model("paper"), "68b1da223c67df5e"),
    "released": (tiny.tiny_model("released", ams=True), "7f218b681803b9f5"),
    "classifier": (tiny.tiny_classifier(), "b4fb0c29893e51dc"),
    "xception": (create_classifier("xception", image_size=75), "5ceaf62b403d6111"),
}


@pytest.mark.parametrize("name", RECORDED)
def test_values_of_earlier_runs(name: Any) -> None:
    model, want = RECORDED[name]
    digest = hashlib.sha256()
    for path, array in sorted(flatten(init_variables(model, 3)).items()):
        # Rare draws come from the system's own logarithm, whose last bit versions differ in.
        rounded = np.round(array.astype(np.float64), 3) + 0.0  # and no -0
        for part in (path.encode(), str(array.dtype).encode(), rounded.tobytes()):
            digest.update(part)
    assert digest.hexdigest()[:16] == want


class Odd(nn.Module):
    """Leaves whose names say the opposite of how they start, ours and Flax's."""

    @nn.compact
    def __call__(self, x: Any) -> Any:
        x = Conv(300, kernel_init=Constant(0.25), use_bias=True, bias_init=Normal(3.0))(x)
        x = DepthwiseConv(3, kernel_init=Uniform(0.5))(x)
        x = BatchNorm(scale_init=Constant(0.0), bias_init=Constant(1.0))(x, train=False)
        x = nn.remat(Dense)(400, kernel_init=TruncatedNormal(0.02))(x)
        x = nn.MultiHeadDotProductAttention(4, kernel_init=VarianceScaling(1.0, "fan_in"))(x)
        x = nn.Dense(50, kernel_init=nn.initializers.constant(7.0))(x)
        gain = self.param("gain", nn.initializers.normal(2.0), (500,))
        return x.sum() * gain


@pytest.fixture(scope="module")
def odd() -> Any:
    return draw_variables(Odd().init, INPUT, seed=5)


def test_a_leaf_gets_what_its_module_declares(odd: Any) -> None:
    params = odd["params"]
    np.testing.assert_array_equal(params["Conv_0"]["kernel"], 0.25)
    assert params["Conv_0"]["bias"].std() == pytest.approx(3.0, rel=0.2)
    filters = params["DepthwiseConv_0"]["kernel"]
    assert np.abs(filters).max() <= 0.5 and filters.std() == pytest.approx(0.5 / 3**0.5, rel=0.1)
    np.testing.assert_array_equal(params["BatchNorm_0"]["scale"], 0)
    np.testing.assert_array_equal(params["BatchNorm_0"]["bias"], 1)
    np.testing.assert_array_equal(odd["batch_stats"]["BatchNorm_0"]["var"], 1)
    dense = params["CheckpointDense_0"]["kernel"]
    assert np.abs(dense).max() <= 0.04 and dense.std() == pytest.approx(0.0176, rel=0.02)
    query = params["MultiHeadDotProductAttention_0"]["query"]["kernel"]
    # Flax calls its initialiser with [in, heads·size] and reshapes what that gives.
    assert query.shape == (400, 4, 100) and query.std() == pytest.approx(1 / 20, rel=0.02)


def test_leaves_of_foreign_initialisers_are_the_modules_own(odd: Any) -> None:
    np.testing.assert_array_equal(odd["params"]["Dense_0"]["kernel"], 7)
    assert odd["params"]["gain"].std() == pytest.approx(2.0, rel=0.2)
    want = Odd().init(jax.random.key(5), jnp.zeros(INPUT.shape))
    np.testing.assert_allclose(odd["params"]["gain"], want["params"]["gain"], rtol=1e-6)
    again = draw_variables(Odd().init, INPUT, seed=5)
    jax.tree.map(np.testing.assert_array_equal, again, odd)
    other = draw_variables(Odd().init, INPUT, seed=2**32 - 1)
    assert not np.array_equal(other["params"]["gain"], odd["params"]["gain"])


def test_init_gives_plain_arrays(odd: Any) -> None:
    variables = Odd().init(jax.random.key(0), jnp.zeros(INPUT.shape))
    leaves = jax.tree.leaves(variables, is_leaf=lambda leaf: isinstance(leaf, Declared))
    assert all(isinstance(leaf, jax.Array) for leaf in leaves)
    shapes = [jax.tree.map(lambda x: (x.shape, x.dtype), tree) for tree in (odd, variables)]
    assert shapes[0] == shapes[1]


def test_layers_of_a_scan_are_drawn_one_by_one() -> None:
    class Layer(nn.Module):
        @nn.compact
        def __call__(self, x: Any, _: Any) -> Any:
            return Dense(4)(x), None

    stack = nn.scan(Layer, variable_axes={"params": 0}, split_rngs={"params": True}, length=50)()
    kernel = draw_variables(lambda key, x: stack.init(key, x, None), INPUT, seed=0)["params"]
    kernel = kernel["Dense_0"]["kernel"]
    assert kernel.shape == (50, 4, 4) and kernel.std() == pytest.approx(0.5, rel=0.1)
    assert not np.array_equal(kernel[0], kernel[1])


@pytest.mark.parametrize("distribution", ["normal", "truncated_normal", "uniform"])
@pytest.mark.parametrize("fan", ["fan_in", "fan_out"])
def test_both_generators_have_the_declared_variance(distribution: Any, fan: Any) -> None:
    init, shape = VarianceScaling(2.0, fan, distribution), (3, 3, 16, 32)
    want = (2.0 / fans(shape)[fan == "fan_out"]) ** 0.5
    drawn = init.draw(np.random.default_rng(0), shape, np.float32)
    for values in (drawn, init(jax.random.key(0), shape)):
        assert values.dtype == np.float32 and values.std() == pytest.approx(want, rel=0.05)


def test_fans() -> None:
    assert fans((3, 3, 16, 32)) == (144, 288)
    assert fans((5, 5, 8)) == (25, 25)
    assert fans((10, 20)) == (10, 20)


def test_errors() -> None:
    with pytest.raises(ValueError, match="available: normal, truncated_normal, uniform"):
        VarianceScaling(1.0, "fan_in", "cauchy").draw(np.random.default_rng(0), (2, 2), np.float32)
    with pytest.raises(ValueError, match="without a key"):
        Normal(1.0)(None, (2,))


@pytest.fixture
def compilations() -> Iterator[list[str]]:
    """Events of XLA's compiler, by name, while a test runs."""
    events: list[str] = []

    def listen(name: str, seconds: float, **_: Any) -> None:
        if "backend_compile" in name:
            events.append(name)

    jax.monitoring.register_event_duration_secs_listener(listen)
    yield events
    jax.monitoring.unregister_event_duration_listener(listen)


def test_b4_starts_without_a_compilation(compilations: list[str]) -> None:
    model = create_model("paper")
    init_variables(model, 0)
    assert compilations == []
    jax.jit(lambda x: x + 1.25)(np.ones(3, np.float32))
    assert compilations  # which the listener would have heard
