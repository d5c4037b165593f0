"""Depthwise convolution: every form against XLA's own, and that against NumPy."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from importlib.metadata import version
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference
from tiny import QUICK_COMPILE

from matnet_jax.nn import depthwise
from matnet_jax.nn.depthwise import shifted, triton, xla

CASES = [
    (k, stride, size, nominal)
    for k, stride, size in itertools.product((3, 5), (1, 2), ((9, 12), (8, 7)))
    for nominal in ((None, 380) if stride == 2 else (None,))
]


def padding_of(size: Any, k: Any, stride: Any, nominal: Any) -> Any:
    return tuple(reference.padding(n, k, stride, nominal) for n in size)


def arrays(
    size: Any, k: Any, stride: Any, padding: Any, channels: int = 4, dtype: Any = np.float32
) -> Any:
    draw = np.random.default_rng(0)
    x = draw.standard_normal((2, *size, channels))
    kernel = draw.standard_normal((k, k, channels))
    out = [(n + sum(p) - k) // stride + 1 for n, p in zip(size, padding, strict=True)]
    grad = draw.standard_normal((2, *out, channels))
    return [jnp.asarray(a, dtype) for a in (x, kernel, grad)]


@pytest.mark.parametrize(("k", "stride", "size", "nominal"), CASES)
def test_forward_and_gradients_match_xla_and_numpy(
    k: Any, stride: Any, size: Any, nominal: Any
) -> None:
    padding = padding_of(size, k, stride, nominal)
    x, kernel, grad = arrays(size, k, stride, padding)
    options = {"stride": stride, "padding": padding}

    @jax.jit
    def both(x: Any, kernel: Any, grad: Any) -> Any:
        around = jnp.pad(grad, ((0, 0), (2, 0), (1, 3), (0, 0)), constant_values=jnp.nan)
        seen = shifted._Cropped(around, (2, 1), grad.shape[1:3])
        return {
            "xla": (
                xla.forward(x, kernel, **options),
                *xla.backward(x, kernel, grad, **options),
            ),
            "shifted": (
                shifted.forward(x, kernel, **options),
                *shifted.backward(x, kernel, grad, **options),
            ),
            "filter": shifted._filter_gradient(shifted._pad(x, padding), kernel, seen, stride),
        }

    got = both(x, kernel, grad)
    want = reference.depthwise(np.asarray(x), np.asarray(kernel), stride=stride, pad=padding)
    for form in ("xla", "shifted"):
        np.testing.assert_allclose(got[form][0], want, rtol=1e-5, atol=1e-5)
    for theirs, ours in zip(got["xla"], got["shifted"], strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=2e-5)
    np.testing.assert_allclose(got["filter"], got["xla"][2], rtol=1e-5, atol=2e-5)
    # The convolution is linear in either argument: <y, g> = <x, dx> = <kernel, dkernel>.
    inner = float(np.vdot(want, grad))
    _, dx, dkernel = got["shifted"]
    assert np.vdot(x, dx) == pytest.approx(inner, rel=1e-4, abs=1e-4)
    assert np.vdot(kernel, dkernel) == pytest.approx(inner, rel=1e-4, abs=1e-4)


@pytest.mark.parametrize(("k", "size"), [(3, (24, 21)), (5, (6, 6))])
def test_the_function_itself_on_either_side_of_the_size_limit(k: Any, size: Any) -> None:
    """`depthwise_conv` under `jax.grad`, where its custom gradient picks the filter's form."""
    padding = padding_of(size, k, 1, None)
    x, kernel, grad = arrays(size, k, 1, padding)

    @jax.jit
    def gradients(x: Any, kernel: Any) -> Any:
        def total(x: Any, kernel: Any) -> Any:
            return jnp.vdot(depthwise.depthwise_conv(x, kernel, 1, padding), grad)

        return jax.grad(total, (0, 1))(x, kernel)

    want = jax.jit(
        lambda *a: xla.backward(*a, stride=1, padding=padding),
    )(x, kernel, grad)
    for g, w in zip(gradients(x, kernel), want, strict=True):
        np.testing.assert_allclose(g, w, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("k", "stride", "size"), [(3, 1, (22, 23)), (5, 2, (9, 8))])
def test_bfloat16_accumulates_in_float32(k: Any, stride: Any, size: Any) -> None:
    """Results are bfloat16 and as near to the exact ones as rounding the result alone allows."""
    padding = padding_of(size, k, stride, None)
    x, kernel, grad = arrays(size, k, stride, padding, dtype=jnp.bfloat16)

    @jax.jit
    def run(x: Any, kernel: Any, grad: Any) -> Any:
        options = {"stride": stride, "padding": padding}
        y = depthwise.depthwise_conv(x, kernel, stride, padding)
        return y, *shifted.backward(x, kernel, grad, **options)

    wide = [a.astype(jnp.float32) for a in (x, kernel, grad)]
    for got, want in zip(run(x, kernel, grad), run(*wide), strict=True):
        assert got.dtype == jnp.bfloat16
        # Half a unit in the last of bfloat16's 8 bits.
        np.testing.assert_allclose(got.astype(jnp.float32), want, rtol=2**-8, atol=1e-6)


@pytest.mark.parametrize(
    ("k", "stride", "size", "nominal", "dtype"),
    [(*case, jnp.float32) for case in CASES]
    + [(*case, jnp.bfloat16) for case in CASES if case[2] == (9, 12)],
)
def test_triton_kernels_match_xla(k: Any, stride: Any, size: Any, nominal: Any, dtype: Any) -> None:
    """Interpreted: their indices, masks and sums; more columns and channels than a tile holds."""
    padding = padding_of(size, k, stride, nominal)
    x, kernel, grad = arrays(size, k, stride, padding, channels=66, dtype=dtype)
    options = {"stride": stride, "padding": padding}

    @partial(jax.jit, compiler_options=QUICK_COMPILE)
    def both(x: Any, kernel: Any, grad: Any) -> Any:
        ours = (
            triton.forward(x, kernel, **options, interpret=True),
            *triton.backward(x, kernel, grad, **options, interpret=True),
        )
        wide = [a.astype(jnp.float32) for a in (x, kernel, grad)]
        return ours, (xla.forward(*wide[:2], **options), *xla.backward(*wide, **options))

    for ours, theirs in zip(*both(x, kernel, grad), strict=True):
        assert ours.dtype == dtype
        rounding = 2**-8 if dtype == jnp.bfloat16 else 1e-5
        np.testing.assert_allclose(ours.astype(jnp.float32), theirs, rtol=rounding, atol=2e-5)


def test_triton_kernels_tile_wide_maps() -> None:
    padding = padding_of((5, 37), 3, 1, None)
    x, kernel, grad = arrays((5, 37), 3, 1, padding, channels=3)
    options = {"stride": 1, "padding": padding}
    ours = (
        triton.forward(x, kernel, **options, interpret=True),
        *triton.backward(x, kernel, grad, **options, interpret=True),
    )
    theirs = (xla.forward(x, kernel, **options), *xla.backward(x, kernel, grad, **options))
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=2e-5)


def lowered_for_gpu() -> str:
    def loss(x: Any, kernel: Any) -> Any:
        return jnp.sum(depthwise.depthwise_conv(x, kernel, 2, ((1, 2), (2, 2))) ** 2)

    shapes = [jax.ShapeDtypeStruct(s, jnp.bfloat16) for s in ((2, 48, 48, 336), (5, 5, 336))]
    with a_gpu():
        traced = jax.jit(jax.grad(loss, (0, 1))).trace(*shapes)
        return traced.lower(lowering_platforms=("cuda",)).as_text()


def a_gpu() -> AbstractContextManager[Any]:
    """JAX 0.12 makes Triton's code for a GPU that it knows by name, be there one or not."""
    if version("jax").startswith("0.10."):
        return nullcontext()
    device = jax.sharding.AbstractDevice("NVIDIA H100 80GB HBM3", num_cores=132, platform="gpu")
    explicit = (jax.sharding.AxisType.Explicit,)
    mesh = jax.sharding.AbstractMesh((1,), ("data",), explicit, abstract_device=device)
    return jax.sharding.use_abstract_mesh(mesh)


@pytest.mark.parametrize(("channels", "convolutions"), [(24, 0), (144, 3)])
def test_tpus_add_up_shifted_maps_of_few_channels(channels: int, convolutions: int) -> None:
    def loss(x: Any, kernel: Any) -> Any:
        return jnp.sum(depthwise.depthwise_conv(x, kernel, 1, ((1, 1), (1, 1))) ** 2)

    shapes = [
        jax.ShapeDtypeStruct(s, jnp.bfloat16) for s in ((2, 9, 9, channels), (3, 3, channels))
    ]
    lowered = jax.jit(jax.grad(loss, (0, 1))).trace(*shapes).lower(lowering_platforms=("tpu",))
    assert lowered.as_text().count("stablehlo.convolution") == convolutions


def test_what_is_unmeasured_is_not_even_imported() -> None:
    """The module of Triton's kernels, and Pallas with it, which takes time to load."""
    loads_all = (
        "import sys, jax; from matnet_jax.nn import depthwise; depthwise.gpu_form();"
        " print([m for m in sys.modules if m.endswith('.triton') or '.pallas' in m])"
    )
    environment = {k: v for k, v in os.environ.items() if k != depthwise.ON_GPU}
    command = [sys.executable, "-c", loads_all]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_form_on_gpus_is_chosen_by_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    assert lowered_for_gpu().count("stablehlo.convolution") == 3
    monkeypatch.setenv(depthwise.ON_GPU, "triton")
    with pytest.warns(UserWarning, match="triton is unmeasured"):
        assert depthwise.gpu_form() is xla, "eight devices"
    monkeypatch.setattr(jax, "device_count", lambda: 1)
    with pytest.warns(UserWarning, match="triton is unmeasured"):
        text = lowered_for_gpu()  # Pallas has made Triton's own code of all three kernels
    assert text.count("xla.gpu.triton") == 3 and "stablehlo.convolution" not in text
    monkeypatch.setenv(depthwise.ON_GPU, "cudnn")
    with pytest.raises(ValueError, match="no depthwise convolution 'cudnn'; available: xla, shif"):
        lowered_for_gpu()
