"""Networks in ONNX: each primitive against JAX, then whole families."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny
from families import made
from jax import lax
from random_weights import random_variables

from matnet_jax.backbones.convnext import CONVNEXT_VARIANTS, Variant
from matnet_jax.checkpoints.export import UnsupportedError, export_onnx
from matnet_jax.checkpoints.export.onnx import to_onnx
from matnet_jax.checkpoints.export.onnx.graph import Graph
from matnet_jax.checkpoints.export.onnx.interpret import interpret
from matnet_jax.detectors.inference import infer
from matnet_jax.detectors.registry import FAMILIES
from matnet_jax.model import create_classifier
from matnet_jax.nn.depthwise import depthwise_conv

runtime = pytest.importorskip("onnxruntime")


def drawn(*shape: int) -> np.ndarray:
    return np.random.default_rng(1).standard_normal(shape).astype(np.float32)


KERNEL, WEIGHTS, HEADS, ROWS = drawn(3, 3, 3, 5), drawn(3, 4), drawn(3, 2, 4), drawn(5, 6)
NHWC = ("NHWC", "HWIO", "NHWC")


def conv(x: Any, **options: Any) -> Any:
    options = {"window_strides": (2, 2), "padding": ((1, 0), (0, 1))} | options
    return lax.conv_general_dilated(x, KERNEL, dimension_numbers=NHWC, **options)


def heads(x: Any) -> Any:
    return jnp.einsum("bnc,chd->bnhd", x, HEADS)


def around(x: Any, **options: Any) -> Any:
    return jnp.pad(x, ((0, 0), (1, 2), (0, 1), (0, 0)), **options)


def largest(x: Any) -> Any:
    padding = ((0, 0), (1, 1), (0, 1), (0, 0))
    return lax.reduce_window(x, -np.inf, lax.max, (1, 3, 3, 1), (1, 2, 2, 1), padding)


PROGRAMS: dict[str, tuple[Callable[[Any], Any], tuple[int, ...]]] = {
    "conv": (conv, (8, 8, 3)),
    "conv, dilated and cut": (
        lambda x: conv(
            x,
            window_strides=(1, 1),
            padding=((1, 2), (-1, 1)),
            lhs_dilation=(2, 1),
            rhs_dilation=(1, 2),
        ),
        (8, 9, 3),
    ),
    "normalised, gated": (
        lambda x: (conv(x) * np.arange(1, 6, dtype=np.float32) + 1) * jax.nn.sigmoid(conv(x)),
        (8, 8, 3),
    ),
    "depthwise": (lambda x: depthwise_conv(x, KERNEL[..., 0], 2, ((1, 1), (0, 1))), (8, 8, 3)),
    "dense of maps": (lambda x: jax.nn.relu6(x @ WEIGHTS + 1), (6, 6, 3)),
    "dense of tokens": (heads, (6, 3)),
    "resized": (lambda x: jnp.einsum("oh,bhwc->bowc", ROWS, x), (6, 7, 3)),
    "attention pooling": (lambda x: jnp.einsum("bhwm,bhwc->bmc", x @ WEIGHTS, x), (4, 5, 3)),
    "self-attention": (lambda x: jnp.einsum("bqhd,bkhd->bhqk", heads(x), heads(x)), (5, 3)),
    "reduced": (lambda x: (conv(x).mean((1, 2)), x.max(1), x.sum(-1), x.min((1, 2))), (8, 8, 3)),
    "windows": (
        lambda x: (
            largest(x),
            lax.reduce_window(x, 0.0, lax.add, (1, 2, 2, 1), (1, 2, 2, 1), "VALID"),
        ),
        (8, 8, 3),
    ),
    "slices": (lambda x: (x[:, 1:7:2, ::-1], x.transpose(0, 3, 1, 2)[:, 1]), (8, 8, 3)),
    "reflected": (lambda x: (around(x, mode="reflect"), around(x, constant_values=2)), (8, 8, 3)),
    "padded between": (
        lambda x: lax.pad(x, 1.0, ((0, 0, 0), (1, 2, 1), (-1, 0, 0), (0, 0, 0))),
        (4, 5, 3),
    ),
    "joined": (
        lambda x: (jnp.concatenate([conv(x), conv(x) + 1], -1), jnp.stack([x, 2 * x], 1)),
        (8, 8, 3),
    ),
    "reshaped": (
        lambda x: (x.reshape(x.shape[0], -1), x.reshape(x.shape[0] * 8, 8, 3)),
        (8, 8, 3),
    ),
    "gathered": (
        lambda x: (x[..., 1], x[:, :, 2, 1], jnp.take(x, np.array([[2, 0], [1, 1]]), axis=1)),
        (5, 4, 3),
    ),
    "a token for each": (
        lambda x: jax.nn.softmax(
            jnp.concatenate([jnp.broadcast_to(WEIGHTS[:, 0], (x.shape[0], 1, 3)), x], 1)
        ),
        (5, 3),
    ),
    "whole numbers": (
        lambda x: (jnp.round(x * 9).astype(jnp.int32) >> 2).astype(jnp.float32),
        (5, 3),
    ),
    "chosen": (lambda x: jnp.where((x > 0) & (x < 1) | (x != x), x, -jnp.abs(x)), (5, 3)),
    "powers": (lambda x: (lax.rem(x, 0.7), x**3, lax.rsqrt(x * x + 1), jnp.log1p(x * x)), (5, 3)),
    "recurrent": (
        lambda x: lax.scan(
            lambda c, y: (jnp.tanh(c + y), c * 2), x[:, 0] * 0, x.transpose(1, 0, 2)
        ),
        (4, 3),
    ),
    "standardised": (lambda x: (x - x.mean((1, 2), keepdims=True)) / (1 + x.std()), (4, 3)),
}


def model_of(function: Callable[[Any], Any], *shape: int) -> Any:
    """`function` of images [b, *shape] in ONNX, its results by number."""
    (b,) = jax.export.symbolic_shape("b")
    closed = jax.make_jaxpr(function)(jax.ShapeDtypeStruct((b, *shape), jnp.float32))
    graph = Graph(b)
    found = interpret(graph, closed, [graph.input("images", (b, *shape))])
    return graph.model({f"out{i}": tensor for i, tensor in enumerate(found)})


def run(proto: Any, images: np.ndarray) -> dict[str, np.ndarray]:
    session = runtime.InferenceSession(
        proto.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(None, {"images": images}), strict=True))


@pytest.mark.parametrize("name", PROGRAMS)
def test_primitives(name: str) -> None:
    function, shape = PROGRAMS[name]
    proto = model_of(function, *shape)
    for batch in (3, 1):
        images = np.random.default_rng(0).uniform(-2, 2, (batch, *shape)).astype(np.float32)
        want = jax.tree.leaves(function(jnp.asarray(images)))
        for got, wanted in zip(run(proto, images).values(), want, strict=True):
            np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=2e-5)


def test_all_of_a_convolutional_network_has_channels_first() -> None:
    def network(x: Any) -> Any:
        x = jax.nn.relu(conv(x) * KERNEL[0, 0, 0] + 1)
        x = x * jax.nn.sigmoid(x.mean((1, 2), keepdims=True))
        return (x @ drawn(5, 7)).mean((1, 2))

    kinds = [node.op_type for node in model_of(network, 8, 8, 3).graph.node]
    assert kinds.count("Conv") == 2 and "MatMul" not in kinds
    # The images, and the gate, which is one pixel.
    assert kinds.count("Transpose") <= 2


def test_what_has_no_counterpart_is_named(tmp_path: Path) -> None:
    for function, word in (
        (lambda x: jnp.sort(x), "primitive sort of float32"),
        (lambda x: x[jnp.argmax(x[:, 0])], "depends? on the image"),
        (lambda x: lax.cond(x.sum() > 0, jnp.sin, jnp.cos, x), "depends on the image"),
    ):
        with pytest.raises(UnsupportedError, match=word):
            model_of(function, 3)
    model = tiny.tiny_model()
    variables = random_variables(model, tiny.images(model, 1))
    folder = export_onnx(model, variables, tmp_path / "out")
    with pytest.raises(FileExistsError, match="is there already"):
        export_onnx(model, variables, folder)


REFUSED = {"xception_ela": "a product of int32 and int32"}
"""Families that ONNX does not take, and why: JPEG's rounding is computed in whole numbers."""


@pytest.mark.parametrize("name", REFUSED)
def test_families_that_are_refused(name: str) -> None:
    model, _ = made(name)
    with pytest.raises(UnsupportedError, match=REFUSED[name]):
        to_onnx(model, random_variables(model, tiny.images(model, 1)))


@pytest.mark.parametrize("name", [name for name in FAMILIES if name not in REFUSED])
def test_families(name: str) -> None:
    assert_converted(made(name)[0])


@pytest.mark.parametrize("backbone", ["dinov2-vit-s-14", "convnext-tiny"])
def test_backbones_of_which_no_family_is_by_default(
    backbone: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their activation is GELU by the error function."""
    monkeypatch.setitem(CONVNEXT_VARIANTS, "convnext-tiny", Variant((1,) * 4, (8,) * 4, 0.0))
    narrow = {"width_coefficient": 0.1, "depth_coefficient": 0.1}
    fields = narrow if backbone.startswith("dino") else {}
    assert_converted(create_classifier(backbone, image_size=56, **fields))


def assert_converted(model: Any) -> None:
    variables = random_variables(model, tiny.images(model, 1))
    model, merged = model.merged(variables)
    proto = to_onnx(model, {key: tree for key, tree in merged.items() if tree})
    images = np.asarray(tiny.images(model, 3))
    compiled = jax.jit(lambda x: infer(model, merged, x).arrays()).lower(images)
    want = jax.device_get(compiled.compile(compiler_options=tiny.QUICK_COMPILE)(images))
    for batch in (3, 1):
        got = run(proto, images[:batch])
        assert got.keys() == want.keys()
        for key, array in want.items():
            scale = max(1.0, float(np.abs(array).max()))
            np.testing.assert_allclose(
                got[key] / scale, array[:batch] / scale, atol=1e-4, err_msg=key
            )
