"""FWA and DSP-FWA: what pixels they see, the pyramid's order, the loss, and the authors' files.

`tests/golden/dsp_fwa.npz` has what the pyramid of yuezunli/DSP-FWA @70b95183 gave in PyTorch.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import flax.linen as nn
import foreign
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny
from test_residual import resnet_module

from matnet_jax.backbones.resnet import ResNet
from matnet_jax.detectors.assembly import flatten
from matnet_jax.detectors.fwa import DSPFWA, Losses, SpatialPyramid, pooled
from matnet_jax.detectors.variables import abstract_variables
from matnet_jax.model import create_detector
from matnet_jax.pretrained import initialize
from matnet_jax.pretrained.families import recognize

GOLDEN = np.load(Path(__file__).parent / "golden" / "dsp_fwa.npz")
NARROW: dict[str, Any] = {"width_coefficient": 0.05, "image_size": 64}


def features() -> np.ndarray:
    """The golden's, [2, 7, 7, 3]."""
    x = np.sin(np.mod(0.37 * np.arange(2 * 3 * 49), 7)).reshape(2, 3, 7, 7)
    return x.transpose(0, 2, 3, 1).astype(np.float32)


def test_pixels_are_bgr_in_steps_of_one_less_a_mean() -> None:
    for name in ("fwa", "dsp_fwa"):
        model = create_detector(name, **NARROW)
        pixels = np.uint8([[[[123, 117, 104]]]])
        seen = model.preprocess.normalize(jnp.asarray(pixels))
        np.testing.assert_allclose(seen[0, 0, 0], [-0.68, 0.221, 0.061], atol=1e-3)
        assert abstract_variables(model)["params"]["features"]["stem_conv"]["kernel"].shape[2] == 3


@pytest.mark.parametrize("name", ["fwa", "dsp_fwa"])
def test_the_backbone_sees_blue_first(name: Any) -> None:
    model = create_detector(name, **NARROW, depth_coefficient=0.1)
    images, seen = tiny.images(model, 1), []

    def look(call: Any, args: Any, kwargs: Any, context: Any) -> Any:
        if isinstance(context.module, ResNet) and context.method_name == "__call__":
            seen.append(args[0])
        return call(*args, **kwargs)

    def run(variables: Any) -> Any:
        with nn.intercept_methods(look):
            model.apply(variables, images)
        return seen.pop()

    got = jax.jit(run)(abstract_zeros(model))
    np.testing.assert_array_equal(got, images[..., ::-1])


def abstract_zeros(model: Any) -> Any:
    return jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), abstract_variables(model))


def test_the_pyramid_as_in_pytorch() -> None:
    """Flattened level by level, channels first."""
    x = features()
    levels = [np.asarray(pooled(x, n)).transpose(0, 3, 1, 2).reshape(2, -1) for n in (1, 2, 6)]
    np.testing.assert_allclose(np.concatenate(levels, axis=1), GOLDEN["pooled"], rtol=1e-6)
    kernel = np.random.default_rng(0).standard_normal((123, 2)).astype(np.float32)
    bias = np.float32([0.3, -0.2])
    logits, evidence = SpatialPyramid().apply({"params": {"kernel": kernel, "bias": bias}}, x)
    np.testing.assert_allclose(logits, GOLDEN["pooled"] @ kernel + bias, rtol=1e-4, atol=1e-5)
    assert evidence.shape == (2, 7, 7, 1)


def test_evidence_stands_where_a_cell_is() -> None:
    """One cell of the finest level alone speaks: its place and no other is lit."""
    kernel = np.zeros((41, 2), np.float32)
    kernel[1 + 4 + 6 * 2 + 3, 1] = 2.0  # row 2, column 3 of 6
    x = np.ones((1, 6, 6, 1), np.float32)
    logits, evidence = SpatialPyramid().apply(
        {"params": {"kernel": kernel, "bias": np.zeros(2)}}, x
    )
    np.testing.assert_array_equal(logits, [[0, 2]])
    assert evidence[0, 2, 3, 0] == 2 and np.asarray(evidence).sum() == 2


def test_sizes_of_the_networks() -> None:
    counts = {}
    for name in ("fwa", "dsp_fwa"):
        shapes = abstract_variables(create_detector(name))["params"]
        counts[name] = sum(leaf.size for leaf in jax.tree.leaves(shapes))
    trunk = 23_508_032
    assert counts == {"fwa": trunk + 2 * 2048 + 2, "dsp_fwa": trunk + 2 * 83_968 + 2}


@pytest.mark.parametrize("threshold", [1.0, 0.6])
def test_easy_examples_are_left_out(threshold: float) -> None:
    logits, labels = np.float32([[2, 0], [0, 0.1], [0, 3], [1, 0]]), np.int32([0, 1, 1, 1])
    batch: Any = {"image": None, "label": labels, "weight": np.float32([1, 1, 1, 0])}
    forward: Any = lambda images, key: {"logits": jnp.asarray(logits)}  # noqa: E731
    losses = Losses(easy_above=threshold)
    loss, metrics = losses(forward, batch, jax.random.key(0), jnp.int32(0))
    own = np.exp(logits)[np.arange(4), labels] / np.exp(logits).sum(1)
    counted = [-np.log(p) for p in own[:3] if p < threshold]
    np.testing.assert_allclose(loss, sum(counted) / 3, rtol=1e-5)
    np.testing.assert_allclose(metrics["hard"], len(counted) / 3)


def test_names_of_the_authors_file() -> None:
    """Its classes the other way round, its two unused classifiers left out."""
    model = create_detector("dsp_fwa", **NARROW)
    assert isinstance(model, DSPFWA)
    arrays = foreign.random_variables(model)
    state = {
        "classifier.weight": arrays["params/pyramid/kernel"].T[::-1],
        "classifier.bias": arrays["params/pyramid/bias"][::-1],
    }
    for path, value in arrays.items():
        if "/features/" in path:
            key, value = foreign.to_torch(path, value, resnet_module(foreign.module_of(path)))
            state[f"resnet.resnet.{key}"] = value
    state |= {"resnet.fc.bias": np.zeros(2), "resnet.resnet.fc.bias": np.zeros(1000)}
    weights = recognize({"net": state}, Path("SPP-res50.pth"))
    assert weights.family == "the authors' DSP-FWA" and not weights.unexpected
    flat = flatten(initialize(model, weights))
    assert flat.keys() == arrays.keys()
    for path, value in arrays.items():
        np.testing.assert_array_equal(flat[path], value, err_msg=path)


def test_a_small_network_and_its_heat_map() -> None:
    model = create_detector("dsp_fwa", **NARROW, depth_coefficient=0.1)
    images = tiny.images(model, 2)
    out = jax.eval_shape(model.apply, abstract_variables(model), images)
    assert out["logits"].shape == (2, 2) and out["class_activation"].shape == (2, 2, 2, 1)
