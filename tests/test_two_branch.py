"""Two Branch: its DenseNet and its memory beside PyTorch's, its filters and its loss by hand.

`tests/golden/densenet.npz` has what torchvision 0.28.0 (BSD-3-Clause) gave on a CPU for a small
DenseNet, with weights that both sides make (`pattern_fill`); `lstm.npz` what PyTorch 2.13.0's
bidirectional LSTM gave, with its weights.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import foreign
import jax
import jax.numpy as jnp
import numpy as np
import pattern_fill
import pytest
import tiny
from families import TINY
from scipy.ndimage import correlate

from matnet_jax.backbones.densenet import DenseNet
from matnet_jax.detectors.assembly import flatten
from matnet_jax.detectors.registry import FAMILIES
from matnet_jax.detectors.two_branch import isolate, log_responses
from matnet_jax.detectors.variables import init_variables
from matnet_jax.model import create_classifier, create_detector
from matnet_jax.nn.filters import laplacian_of_gaussian
from matnet_jax.nn.recurrent import BidirectionalLSTM
from matnet_jax.nn.separable import filter_mirrored
from matnet_jax.pretrained import densenet_names, initialize
from matnet_jax.pretrained.families import recognize

GOLDEN = Path(__file__).parent / "golden"
IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}


def nested(arrays: Any, drop: str = "features/") -> dict[str, Any]:
    variables: dict[str, Any] = {}
    for path, value in arrays.items():
        *outer, leaf = path.replace(drop, "").split("/")
        tree = variables
        for part in outer:
            tree = tree.setdefault(part, {})
        tree[leaf] = value
    return variables


@pytest.mark.parametrize("old_spelling", [False, True])
def test_densenet_as_in_torchvision(old_spelling: bool) -> None:
    golden = np.load(GOLDEN / "densenet.npz")
    shapes = [tuple(map(int, text.split())) for text in golden["shapes"]]
    state = pattern_fill.fill(zip(map(str, golden["names"]), shapes, strict=True))
    if old_spelling:
        state = {re.sub(r"(layer\d+\.(norm|conv))", r"\1.", k): v for k, v in state.items()}
    assert densenet_names.is_densenet(state)
    arrays, unexpected = densenet_names.convert(state)
    assert not unexpected
    head = {name: arrays.pop(f"params/head/{name}") for name in ("kernel", "bias")}
    net = DenseNet((2, 1, 2, 1), growth=4, width=8)
    run = jax.jit(lambda v, x: net.apply(v, x, False), compiler_options=tiny.QUICK_COMPILE)
    found = run(nested(arrays), pattern_fill.images(2, int(golden["size"])))["final"]
    want = np.maximum(golden["features"].transpose(0, 2, 3, 1), 0)
    assert np.abs(found - want).max() <= 1e-4 * want.max()
    logits = np.asarray(found).mean((1, 2)) @ head["kernel"] + head["bias"]
    np.testing.assert_allclose(logits, golden["logits"], rtol=1e-4, atol=1e-5)


def densenet_module(module: str) -> str:
    """Torchvision's name of our module path, its scheme written from our side."""
    if module == "head":
        return "classifier"
    module = module.removeprefix("features/")
    fixed = {"stem/conv": "conv0", "stem/bn": "norm0", "final_bn": "norm5"}
    if module in fixed:
        return f"features.{fixed[module]}"
    kind = {"conv": "conv", "bn": "norm"}[module.rsplit("/", 1)[-1]]
    if half := re.fullmatch(r"transition_(\d)/half/\w+", module):
        return f"features.transition{half[1]}.{kind}"
    block, layer, part = re.fullmatch(r"block_(\d)/layer_(\d+)_(\d)/\w+", module).groups()
    return f"features.denseblock{block}.denselayer{layer}.{kind}{part}"


def test_a_densenet_of_imagenets_starts_both_branches() -> None:
    narrow = {"width_coefficient": 0.05, "depth_coefficient": 0.1, "image_size": 64}
    plain = create_classifier("densenet-121", num_classes=9, **narrow, **IMAGENET)
    arrays = foreign.random_variables(plain)
    state = dict(
        foreign.to_torch(path, value, densenet_module(foreign.module_of(path)))
        for path, value in arrays.items()
    )
    weights = recognize(state, Path("densenet121.pth"))
    assert weights.family == "torchvision's DenseNet" and weights.fields == IMAGENET
    flat = flatten(initialize(plain, weights))
    for path, value in arrays.items():
        np.testing.assert_array_equal(flat[path], value, err_msg=path)
    model = create_detector("two_branch", **narrow)
    flat = flatten(initialize(model, weights))
    for path, value in arrays.items():
        if "/features/" in path:
            np.testing.assert_array_equal(flat[path], value, err_msg=path)
    for path in (p for p in flat if "/frequency_" in p):
        part = re.sub(r"frequency_(block|transition)", r"features/\1_1", path)
        np.testing.assert_array_equal(flat[path], arrays[part], err_msg=path)


def test_the_memory_as_in_pytorch() -> None:
    golden = np.load(GOLDEN / "lstm.npz")
    params = {}
    for direction, suffix in (("forward", ""), ("backward", "_reverse")):
        theirs = {n: golden[f"{n}_l0{suffix}"] for n in ("weight_ih", "weight_hh")}
        biases = golden[f"bias_ih_l0{suffix}"] + golden[f"bias_hh_l0{suffix}"]
        kernels = {"kernel": theirs["weight_ih"].T, "recurrent_kernel": theirs["weight_hh"].T}
        params[direction] = kernels | {"bias": biases}
    found = BidirectionalLSTM(3).apply({"params": params}, jnp.asarray(golden["x"]))
    np.testing.assert_allclose(found, golden["y"], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("size", [(20, 9), (3, 1)])
def test_filters_are_correlations_with_mirrored_borders(size: Any) -> None:
    x = np.random.default_rng(0).standard_normal((2, *size, 3)).astype(np.float32)
    lopsided = np.random.default_rng(1).standard_normal((5, 5)).astype(np.float32)
    for kernel in (lopsided, laplacian_of_gaussian(2.4)):
        found = filter_mirrored(jnp.asarray(x), kernel)
        for b, c in np.ndindex(2, 3):
            want = correlate(x[b, ..., c].astype(float), kernel.astype(float), mode="mirror")
            np.testing.assert_allclose(found[b, ..., c], want, rtol=1e-4, atol=1e-5)


def test_frequencies_do_not_see_a_constant() -> None:
    flat = jnp.full((1, 14, 14, 2), 3.0)
    found = log_responses(flat, (0.8, 2.4))
    assert found.shape == (1, 14, 14, 4)
    np.testing.assert_allclose(found, 0, atol=1e-5)


def test_the_loss_of_four_distances() -> None:
    distance, labels = np.float32([0.02, 1.0, 1.0, 2.0]), np.array([0, 0, 1, 1])
    np.testing.assert_allclose(isolate(distance, labels, 0.042, 1.638), [0, 0.958, 0.638, 0])


def made(**fields: Any) -> Any:
    return create_detector("two_branch", **TINY["two_branch"], image_size=tiny.SIZE, **fields)


def test_a_clip_is_one_thing_and_an_image_a_clip_of_one() -> None:
    model = made()
    variables = init_variables(model, 0)
    frames = tiny.images(model, 6)
    run = jax.jit(lambda x: model.apply(variables, x))
    single, clips = run(frames), run(frames[:, None])
    for name in single:
        np.testing.assert_allclose(single[name], clips[name], rtol=1e-4, atol=1e-6)
    of_clips = run(frames.reshape(2, 3, *frames.shape[1:]))
    assert of_clips["logits"].shape == (2, 2)
    # Memory sees order; a mean over frames would not.
    backwards = run(frames.reshape(2, 3, *frames.shape[1:])[:, ::-1])
    assert np.abs(backwards["distance"] - of_clips["distance"]).max() > 1e-4


def test_the_score_is_by_the_distance() -> None:
    model = made(inner_radius=0.5, outer_radius=1.5)
    variables = init_variables(model, 0)
    out = model.apply(variables, tiny.images(model, 3))
    want = 1 / (1 + np.exp(-4.0 * (np.asarray(out["distance"]) - 1.0)))
    np.testing.assert_allclose(model.score(out), want, rtol=1e-5)
    with pytest.raises(ValueError, match=r"inner_radius 2\.0 has to be below"):
        FAMILIES["two_branch"].check(made(inner_radius=2.0))
