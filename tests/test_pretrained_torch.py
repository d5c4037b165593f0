"""PyTorch families: outputs against the original code where it is installed, names otherwise."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from foreign import (
    cadene_state_dict,
    module_of,
    random_variables,
    timm_state_dict,
    to_torch,
)

from matnet_jax.detectors.assembly import flatten
from matnet_jax.model import create_classifier, create_model
from matnet_jax.pretrained import (
    WeightsMismatchError,
    from_torch_state_dict,
    initialize,
    model_fields,
    read_weights,
)

safetensors = pytest.importorskip("safetensors.numpy", reason="needs safetensors (the extra torch)")


@functools.partial(jax.jit, static_argnums=0)
def endpoints(backbone: Any, variables: Any, images: Any) -> Any:
    """Every stage of a backbone; its hash leaves out the fields that only training reads."""
    own = {name: tree["features"] for name, tree in variables.items() if "features" in tree}
    return backbone.apply(own, images, False)


def assert_same(variables: Any, arrays: Any) -> None:
    flat = flatten(variables)
    assert flat.keys() == arrays.keys()
    for path, value in arrays.items():
        np.testing.assert_array_equal(flat[path], value, err_msg=path)


@pytest.mark.parametrize("backbone", ["efficientnet-b1", "efficientnet-b4"])
def test_timm_names(tmp_path: Path, backbone: Any) -> None:
    narrow = {"num_classes": 1000, "image_size": 64, "width_coefficient": 0.25}
    model = create_classifier(backbone, **narrow)
    arrays = random_variables(model)
    state = timm_state_dict(arrays, backbone)
    state["bn1.num_batches_tracked"] = np.zeros((), np.int64)
    path = tmp_path / "tf_efficientnet.safetensors"
    safetensors.save_file(state, path)
    fields = model_fields(path)
    assert fields["mean"] == (0.485, 0.456, 0.406) and fields["std"] == (0.229, 0.224, 0.225)
    model = create_classifier(backbone, **narrow, **fields)
    assert_same(initialize(model, path), arrays)


def test_timm_s_lite_networks_see_pixels_of_their_own(tmp_path: Path) -> None:
    narrow = {"num_classes": 1000, "image_size": 64, "width_coefficient": 0.25}
    model = create_classifier("efficientnet-lite0", **narrow)
    arrays = random_variables(model)
    path = tmp_path / "model.safetensors"
    safetensors.save_file(timm_state_dict(arrays, "efficientnet-b0"), path)
    assert model_fields(path)["mean"] == model_fields(path)["std"] == (0.5, 0.5, 0.5)
    assert_same(initialize(model, path), arrays)


@pytest.mark.parametrize("flat_pointwise", [False, True])
def test_cadene_names(tmp_path: Path, flat_pointwise: Any) -> None:
    """Its first file has the 1×1 convolutions as matrices, and calls the classifier fc."""
    model = create_classifier("xception", num_classes=1000)
    arrays = random_variables(model)
    state = cadene_state_dict(arrays)
    assert "block1.rep.0.conv1.weight" in state and "block12.rep.5.bias" in state
    if flat_pointwise:
        state = {
            k.replace("last_linear", "fc"): v[:, :, 0, 0] if "pointwise" in k else v
            for k, v in state.items()
        }
    path = tmp_path / "xception.safetensors"
    safetensors.save_file(state, path)
    assert model_fields(path)["mean"] == (0.5, 0.5, 0.5)
    assert_same(initialize(model, path), arrays)


MAT_NAMES = {
    "attention/extract_conv": "attentions.conv_extract",
    "attention/extract_bn": "attentions.bn1",
    "attention/project_conv": "attentions.conv2",
    "attention/project_bn": "attentions.bn2",
    "texture/extract_conv": "texture_enhance.conv_extract",
    "texture/input_conv": "texture_enhance.conv0",
    "texture/dense/conv1": "texture_enhance.conv1",
    "texture/dense/conv2": "texture_enhance.conv2",
    "texture/dense/conv3": "texture_enhance.conv3",
    "texture/dense/bn1": "texture_enhance.bn1",
    "texture/dense/bn2": "texture_enhance.bn2",
    "texture/dense/bn3": "texture_enhance.bn3",
    "texture/dense_bn": "texture_enhance.bn4",
    "texture/output_conv": "texture_enhance.conv_last",
    "texture/output_bn": "texture_enhance.bn_last",
    "head/local_1": "projection_local.0",
    "head/local_2": "projection_local.2",
    "head/global": "project_final",
    "head/ensemble": "ensemble_classifier_fc.0",
    "head/logits": "ensemble_classifier_fc.2",
}


def test_mat_of_the_authors(tmp_path: Path) -> None:
    """A whole checkpoint, saved from DataParallel, with buffers and the unused ImageNet head."""
    small = {"backbone": "xception", "texture_stage": "b1", "attention_stage": "b2"}
    model = create_model("released", **small)
    arrays = random_variables(model)
    backbone = {path: v for path, v in arrays.items() if path.split("/")[1] == "features"}
    state = {f"net.{name}": value for name, value in cadene_state_dict(backbone).items()}
    for path, value in arrays.items():
        if path not in backbone and path != "feature_centers/centers":
            name, value = to_torch(path, value, MAT_NAMES[module_of(path)])
            state[name] = value
    state |= {
        "auxiliary_loss.feature_centers": arrays["feature_centers/centers"],
        "auxiliary_loss.alpha": np.asarray(0.05, np.float32),
        "auxiliary_loss.inner_margin": np.float32([0.1, -2]),
        "attentions.mask": np.ones((1, 1, 24, 24), np.float32),
        "net.last_linear.weight": np.zeros((1000, 2048), np.float32),
        "net.last_linear.bias": np.zeros(1000, np.float32),
    }
    path = tmp_path / "mat.safetensors"
    safetensors.save_file({f"module.{name}": value for name, value in state.items()}, path)
    assert read_weights(path).family == "the authors' MAT on Cadene's Xception"
    assert_same(initialize(model, path), arrays)
    assert_same(from_torch_state_dict({"state_dict": state}, model, image_size=299), arrays)
    with pytest.raises(ValueError, match="image_size 380 asked for"):
        from_torch_state_dict(state, model, image_size=380)
    other = create_model("released", **small, texture_version="paper")
    with pytest.raises(WeightsMismatchError, match=r"MAT on xception \(M = 4, texture b1 paper"):
        initialize(other, path)


def test_a_wrong_key_is_listed(tmp_path: Path) -> None:
    model = create_classifier("xception")
    arrays = random_variables(model)
    state = cadene_state_dict(arrays)
    state["block3.attention.weight"] = state.pop("conv1.weight")
    safetensors.save_file(state, tmp_path / "x.safetensors")
    with pytest.raises(WeightsMismatchError) as error:
        initialize(model, tmp_path / "x.safetensors")
    assert "− params/features/conv1/kernel [3, 3, 3, 32]: missing" in str(error.value)
    assert "+ block3.attention.weight: not in the model" in str(error.value)


@pytest.fixture(scope="module")
def efficientnet_b0() -> Any:
    """The original network with random weights and statistics, and its stages' shapes."""
    torch = pytest.importorskip("torch", reason="needs PyTorch (the extra torch)")
    original = pytest.importorskip("efficientnet_pytorch", reason="needs efficientnet_pytorch")
    torch.manual_seed(0)
    net = original.EfficientNet.from_name("efficientnet-b0").eval()
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.running_var, 0.5, 1.5)
            for vector in (module.running_mean, module.bias):
                torch.nn.init.normal_(vector, 0, 0.1)
    return net


def test_efficientnet_pytorch_outputs(tmp_path: Path, efficientnet_b0: Any) -> None:
    """It pads by its native size, which shows at odd sizes."""
    import torch

    size = 75
    path = tmp_path / "efficientnet-b0-355c32eb.pth"
    torch.save(efficientnet_b0.state_dict(), path)
    model = create_classifier(
        "efficientnet-b0",
        num_classes=1000,
        image_size=size,
        padding="nominal",
        **model_fields(path),
    )
    variables = initialize(model, path)
    images = np.random.default_rng(0).standard_normal((2, size, size, 3)).astype(np.float32)
    with torch.no_grad():
        tensor = torch.from_numpy(images.transpose(0, 3, 1, 2).copy())
        features = efficientnet_b0.extract_features(tensor).permute(0, 2, 3, 1).numpy()
        logits = efficientnet_b0(tensor).numpy()
    got = np.asarray(endpoints(model.make_backbone(), variables, images)["final"])
    np.testing.assert_allclose(got, features, atol=1e-4 * np.abs(features).max())
    head = variables["params"]["head"]
    ours = got.mean((1, 2)) @ head["kernel"] + head["bias"]
    np.testing.assert_allclose(ours, logits, atol=1e-4 * np.abs(logits).max())


def test_advprop_is_told_by_the_name(tmp_path: Path, efficientnet_b0: Any) -> None:
    import torch

    names = {"adv-efficientnet-b0-b64d5a18.pth": 0.5, "efficientnet-b0-355c32eb.pth": 0.485}
    for name, mean in names.items():
        torch.save(efficientnet_b0.state_dict(), tmp_path / name)
        assert model_fields(tmp_path / name)["mean"][0] == mean
        assert not read_weights(tmp_path / name).unexpected


def test_timm_outputs(tmp_path: Path) -> None:
    timm = pytest.importorskip("timm", reason="needs timm", exc_type=ImportError)
    import torch

    torch.manual_seed(0)
    for name, ours, size in (
        ("tf_efficientnet_b1", "efficientnet-b1", 75),
        ("legacy_xception", "xception", 75),
    ):
        net = timm.create_model(name, pretrained=False).eval()
        for module in net.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                torch.nn.init.uniform_(module.running_var, 0.5, 1.5)
                torch.nn.init.normal_(module.running_mean, 0, 0.1)
        path = tmp_path / f"{name}.pth"
        torch.save(net.state_dict(), path)
        model = create_classifier(ours, num_classes=1000, image_size=size, **model_fields(path))
        variables = initialize(model, path)
        images = np.random.default_rng(0).standard_normal((2, size, size, 3)).astype(np.float32)
        with torch.no_grad():
            tensor = torch.from_numpy(images.transpose(0, 3, 1, 2).copy())
            features = net.forward_features(tensor).permute(0, 2, 3, 1).numpy()
            logits = net(tensor).numpy()
        got = np.asarray(endpoints(model.make_backbone(), variables, images)["final"])
        np.testing.assert_allclose(got, features, atol=2e-4 * np.abs(features).max(), err_msg=name)
        head = variables["params"]["head"]
        scores = got.mean((1, 2)) @ head["kernel"] + head["bias"]
        np.testing.assert_allclose(scores, logits, atol=2e-4 * np.abs(logits).max(), err_msg=name)


def test_plain_classifier_starts_mat(tmp_path: Path, efficientnet_b0: Any) -> None:
    """The authors' way: a two-class network first, its backbone into MAT."""
    import torch

    state = efficientnet_b0.state_dict()
    state["_fc.weight"], state["_fc.bias"] = state["_fc.weight"][:2], state["_fc.bias"][:2]
    path = tmp_path / "pretrained.pth"
    logs = {"loss": np.float64(0.1), "epoch": 3}
    torch.save({"logs": logs, "state_dict": {f"module.{k}": v for k, v in state.items()}}, path)
    assert model_fields(path)["mean"] == (0.5, 0.5, 0.5)

    classifier = create_classifier("efficientnet-b0", image_size=64)
    whole = initialize(classifier, path)
    np.testing.assert_array_equal(whole["params"]["head"]["bias"], state["_fc.bias"].numpy())
    mat = create_model("released", backbone="efficientnet-b0", image_size=64)
    variables = initialize(mat, path)
    for collection in ("params", "batch_stats"):
        jax.tree.map(
            np.testing.assert_array_equal,
            variables[collection]["features"],
            whole[collection]["features"],
        )
    with pytest.raises(WeightsMismatchError):
        from_torch_state_dict(state, mat)
