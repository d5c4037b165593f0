"""Capsule-Forensics against tensors of the authors' code, with made weights and the authors'."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pattern_fill as pattern
import pytest
import reference
import tiny
from flax import traverse_util

from matnet_jax.backbones.vgg import BLOCKS, VGG19Trunk
from matnet_jax.detectors.assembly import WeightsMismatchError, variable_shapes
from matnet_jax.detectors.capsule import Losses
from matnet_jax.detectors.registry import FAMILIES
from matnet_jax.detectors.variables import init_variables
from matnet_jax.model import create_detector
from matnet_jax.nn.capsules import CapsuleHead, PrimaryCapsules, route, squash, statistics
from matnet_jax.pretrained import initialize, read_weights
from matnet_jax.pretrained.__main__ import main
from matnet_jax.pretrained.capsule_names import convert
from matnet_jax.pretrained.trained import load_trained
from matnet_jax.train.optim import create_optimizer

GOLDEN = dict(np.load(Path(__file__).parent / "golden" / "capsule.npz"))
CAPSULES = {"v1": 3, "v2": 10}
FILES = ("deepfakes_capsule_95", "face2face_c23_capsule_35")


def head_shapes(version: str) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Of the authors' file, in its order."""
    first = "fea_ext.ext_1" if version == "v1" else "fea_ext.capsules.0"
    stem, start = first[:-1], int(first[-1])
    for capsule in range(start, start + CAPSULES[version]):
        name = f"{stem}{capsule}"
        for conv, norm, *weight in (
            (0, 1, 64, 256, 3, 3),
            (3, 4, 16, 64, 3, 3),
            (7, 8, 8, 2, 5),
            (9, 10, 1, 8, 3),
        ):
            yield from pattern.biased(f"{name}.{conv}", *weight)
            yield from pattern.norm(f"{name}.{norm}", weight[0])
    yield "routing_stats.route_weights", (2, CAPSULES[version], 4, 8)


def head_variables(state: Any) -> Any:
    """The head's variables, and the names that its paths come from are all known."""
    arrays, unexpected = convert(state)
    assert not unexpected
    tree = traverse_util.unflatten_dict(arrays, sep="/")
    return {collection: parts["head"] for collection, parts in tree.items()}


@functools.cache
def made_head(version: str) -> Any:
    return head_variables(pattern.fill(head_shapes(version)))


def features(batch: int, size: int) -> np.ndarray:
    """The wave over [B, 256, S, S], without sign, as [B, S, S, 256]."""
    wave = np.abs(np.sin((0.37 * np.arange(batch * 256 * size * size)) % 7))
    return wave.reshape(batch, 256, size, size).transpose(0, 2, 3, 1).astype(np.float32)


def scores(capsules: Any) -> np.ndarray:
    return np.asarray(jax.nn.softmax(capsules, axis=-1).mean(1))


@pytest.mark.parametrize("version", CAPSULES)
def test_the_head_on_made_weights(version: str) -> None:
    """Version 1's classes are the other way round; what it calls out is softmaxed."""
    head, variables = CapsuleHead(CAPSULES[version]), made_head(version)
    own = {key: value["primary"] for key, value in variables.items()}
    u = PrimaryCapsules(CAPSULES[version]).apply(own, features(3, 9), train=False)
    np.testing.assert_allclose(u, GOLDEN[f"{version}/u"], rtol=1e-4, atol=1e-6)
    capsules = head.apply(variables, features(3, 9))
    want = GOLDEN[f"{version}/scores"]
    order = slice(None, None, -1) if version == "v1" else slice(None)
    np.testing.assert_allclose(scores(capsules), want[:, order], rtol=1e-5)
    given = jax.nn.softmax(capsules, axis=-1) if version == "v1" else capsules
    np.testing.assert_allclose(given[..., order], GOLDEN[f"{version}/out"], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("file", FILES)
def test_the_head_on_the_authors_weights(file: str, shared_weights: Path) -> None:
    pytest.importorskip("torch", reason="needs PyTorch to read the authors' files")
    weights = read_weights(shared_weights / "capsule_v1" / f"{file}.pt")
    assert weights.family == "the authors' Capsule-Forensics v1" and not weights.unexpected
    tree = traverse_util.unflatten_dict(dict(weights.arrays), sep="/")
    variables = {collection: parts["head"] for collection, parts in tree.items()}
    wave = np.abs(np.sin(0.013 * np.arange(2 * 256 * 16 * 16))).reshape(2, 256, 16, 16)
    images = wave.transpose(0, 2, 3, 1).astype(np.float32)
    primary = PrimaryCapsules(3)
    own = {key: value["primary"] for key, value in variables.items()}
    np.testing.assert_allclose(
        primary.apply(own, images, train=False), GOLDEN[f"authors/{file}/u"], rtol=1e-4, atol=1e-6
    )
    capsules = CapsuleHead(3).apply(variables, images)
    np.testing.assert_allclose(
        scores(capsules)[:, ::-1], GOLDEN[f"authors/{file}/scores"], rtol=1e-5
    )


@pytest.mark.parametrize("version", CAPSULES)
def test_one_training_step(version: str) -> None:
    """Loss, gradients, running statistics and Adam's step are the authors', without noise."""
    head, variables = CapsuleHead(CAPSULES[version], noise=0.0), made_head(version)
    losses: Any = FAMILIES[f"capsule_{version}"].recipes["paper"]["losses"]
    fake_first = version == "v1"
    labels = np.array([1, 0, 0]) if fake_first else np.array([0, 1, 1])
    batch: Any = {"image": features(3, 9), "label": labels, "weight": np.ones(3, np.float32)}

    def loss(params: Any) -> Any:
        moved = {}

        def forward(images: Any, key: Any) -> Any:
            capsules, state = head.apply(
                {**variables, "params": params}, images, train=True, mutable=["batch_stats"]
            )
            moved.update(state)
            return {"capsules": capsules, "logits": jnp.zeros((3, 2))}

        key, step = jax.random.key(0), jnp.int32(0)
        return Losses(**losses)(forward, batch, key, step)[0], moved

    gradient = jax.jit(jax.value_and_grad(loss, has_aux=True), compiler_options=tiny.QUICK_COMPILE)
    (value, moved), grads = gradient(variables["params"])
    np.testing.assert_allclose(value, GOLDEN[f"{version}/loss"], rtol=1e-6)
    order = slice(None, None, -1 if fake_first else None)
    np.testing.assert_allclose(
        grads["routes"][order], GOLDEN[f"{version}/route_gradient"], rtol=1e-3, atol=1e-7
    )
    norms = dict(zip(GOLDEN[f"{version}/names"], GOLDEN[f"{version}/norms"], strict=True))
    for layer, number in (("conv_1", 0), ("bn_1", 1), ("conv_2", 3)):
        leaf = "scale" if "bn" in layer else "kernel"
        want = [n for name, n in norms.items() if str(name).endswith(f".{number}.weight")]
        parts = np.split(np.asarray(grads["primary"][layer][leaf]), CAPSULES[version], axis=-1)
        np.testing.assert_allclose([np.linalg.norm(part) for part in parts], want, rtol=2e-3)
    for layer, number in (("conv_3", 7), ("conv_4", 9)):
        want = [n for name, n in norms.items() if str(name).endswith(f".{number}.weight")]
        found = np.linalg.norm(
            np.reshape(grads["primary"][f"{layer}_kernel"], (CAPSULES[version], -1)), axis=1
        )
        np.testing.assert_allclose(found, want, rtol=2e-3)
    last = moved["batch_stats"]["primary"]["bn_3"]["var"][-8:]
    np.testing.assert_allclose(last, GOLDEN[f"{version}/running_var"], rtol=1e-4)

    adam = create_optimizer("adam", 5e-4)
    updates, _ = adam.update(grads, adam.init(variables["params"]))
    after = optax.apply_updates(variables["params"], updates)["routes"]
    np.testing.assert_allclose(after[order], GOLDEN[f"{version}/route_after"], rtol=1e-4, atol=1e-6)


def test_parts_by_hand() -> None:
    np.testing.assert_allclose(squash(jnp.array([[3.0, 4.0]]), -1), [[15 / 26, 20 / 26]], rtol=1e-6)
    gradient = jax.grad(lambda x: squash(x, -1).sum())(jnp.zeros((1, 2)))
    np.testing.assert_array_equal(gradient, 0)
    x = np.random.default_rng(0).standard_normal((2, 3, 4, 5))
    wanted = np.stack([x.mean((1, 2)), x.std((1, 2), ddof=1)], -1)
    np.testing.assert_allclose(statistics(jnp.asarray(x)), wanted, rtol=1e-5, atol=1e-7)
    np.testing.assert_array_equal(
        jax.grad(lambda x: statistics(x).sum())(jnp.ones((1, 1, 1, 1))), 1
    )
    votes = jnp.asarray(np.random.default_rng(1).standard_normal((2, 2, 3, 4)), jnp.float32)
    np.testing.assert_allclose(route(votes, 1), squash(votes.mean(2), -1), rtol=1e-5)


def test_noise_and_dropout_act_in_training_alone() -> None:
    variables, images = made_head("v1"), features(2, 4)

    def outputs(train: bool, **fields: float) -> Any:
        head = CapsuleHead(3, **fields)
        keys = {"dropout": jax.random.key(0)}
        return head.apply(variables, images, train=train, rngs=keys, mutable=["batch_stats"])[0]

    plain = outputs(True, noise=0.0)
    for fields in ({"noise": 0.01}, {"noise": 0.0, "dropout_rate": 0.5}):
        assert np.abs(outputs(True, **fields) - plain).max() > 1e-5
    np.testing.assert_array_equal(outputs(False, noise=0.01), outputs(False, dropout_rate=0.5))


def test_sizes_and_initial_values() -> None:
    for name, count, size in (("capsule_v1", 471_321, 128), ("capsule_v2", 1_571_070, 300)):
        model = create_detector(name)
        shapes = variable_shapes(model)
        sizes = {path: int(np.prod(shape)) for path, shape in shapes.items()}
        head = sum(n for path, n in sizes.items() if path.startswith("params/head/"))
        trunk = sum(n for path, n in sizes.items() if path.startswith("params/features/"))
        assert (head, trunk, model.image_size) == (count, 2_325_568, size)
    params = init_variables(create_detector("capsule_v1"), 0)["params"]["head"]
    assert 0.9 < params["routes"].std() < 1.1
    assert 0.019 < params["primary"]["conv_1"]["kernel"].std() < 0.021
    assert 0.99 < params["primary"]["bn_1"]["scale"].mean() < 1.01


def trunk_shapes() -> Iterator[tuple[str, tuple[int, ...]]]:
    """Of torchvision's VGG-19, less most of what is not taken."""
    inputs, numbers = 3, iter((0, 2, 5, 7, 10, 12, 14, 16))
    for channels in BLOCKS:
        for outputs in channels:
            yield from pattern.biased(f"features.{next(numbers)}", outputs, inputs, 3, 3)
            inputs = outputs
    yield from pattern.biased("features.19", 512, 256, 3, 3)
    yield from pattern.biased("classifier.6", 1000, 16)


def test_the_trunk_against_a_slow_reference(tmp_path: Path) -> None:
    state = pattern.fill(trunk_shapes())
    images = pattern.images(1, 11)
    x = images
    for numbers in ((0, 2), (5, 7), (10, 12, 14, 16)):
        for i in numbers:
            kernel = state[f"features.{i}.weight"].transpose(2, 3, 1, 0)
            x = reference.relu(reference.conv(x, kernel, state[f"features.{i}.bias"]))
        half = x.shape[1] // 2
        x = x[:, : 2 * half, : 2 * half].reshape(1, half, 2, half, 2, -1).max((2, 4))
    weights = read_weights(pattern.save(tmp_path / "vgg.safetensors", state))
    assert weights.family == "torchvision's VGG-19" and not weights.unexpected
    tree = traverse_util.unflatten_dict(dict(weights.arrays), sep="/")["params"]["features"]
    np.testing.assert_allclose(
        VGG19Trunk().apply({"params": tree}, images), x, rtol=1e-4, atol=1e-6
    )


def test_convert_takes_trunk_and_head(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trunk = pattern.save(tmp_path / "vgg.safetensors", pattern.fill(trunk_shapes()))
    head = pattern.save(tmp_path / "head.safetensors", pattern.fill(head_shapes("v1")))
    out = tmp_path / "out"
    assert main(["convert", str(trunk), str(head), str(out), "--family=capsule_v1"]) == 0
    said = capsys.readouterr().out
    assert "VGG-19 and the authors' Capsule-Forensics v1 as Capsule-Forensics with 3" in said
    loaded = load_trained(out, "latest")
    routes = loaded.variables["params"]["head"]["routes"]
    np.testing.assert_array_equal(routes, made_head("v1")["params"]["routes"])

    model = create_detector("capsule_v1")
    from_trunk = initialize(model, trunk)  # what training starts from
    assert set(from_trunk["params"]) == {"features", "head"}
    with pytest.raises(WeightsMismatchError, match="params/features/conv_1_1/bias"):
        initialize(model, head)
    with pytest.raises(
        WeightsMismatchError, match=r"the checkpoint has \[192\], the model \[640\]"
    ):
        initialize(create_detector("capsule_v2"), head, prefixes=["head"])
