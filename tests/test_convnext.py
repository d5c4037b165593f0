"""ConvNeXt: shapes, blocks against NumPy, names both ways, and the outputs of transformers."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import reference
import tiny
from random_weights import random_variables

from matnet_jax.backbones import BACKBONES, convnext
from matnet_jax.backbones.convnext import CONVNEXT_VARIANTS, ConvNeXt, ConvNeXtBlock, Variant
from matnet_jax.detectors.assembly import flatten
from matnet_jax.model import create_classifier, create_model, init_variables
from matnet_jax.pretrained import WeightsMismatchError, initialize
from matnet_jax.pretrained.families import recognize
from matnet_jax.train.state import create_train_state
from matnet_jax.train.step import make_train_step
from tests import foreign

NANO = Variant((1, 1, 2, 1), (8, 16, 32, 64), 0.1)
IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}


@pytest.fixture(autouse=True)
def nano(monkeypatch: pytest.MonkeyPatch) -> None:
    """A backbone that a test can run, in the table like the others."""
    monkeypatch.setitem(BACKBONES, "convnext-nano", convnext.entry(NANO))


@pytest.mark.parametrize("name", CONVNEXT_VARIANTS)
def test_sizes_and_channels(name: Any) -> None:
    backbone = create_classifier(name).make_backbone()
    images = jax.ShapeDtypeStruct((1, 224, 224, 3), jnp.float32)
    endpoints, _ = jax.eval_shape(
        lambda x: backbone.init_with_output(jax.random.key(0), x, False), images
    )
    widths = CONVNEXT_VARIANTS[name].widths
    sides = {"stem": 56, "L1": 56, "L2": 28, "L3": 14, "L4": 7, "final": 7}
    want = dict(zip(sides, (widths[0], *widths, widths[-1]), strict=True))
    assert backbone.endpoint_channels == want
    assert {k: x.shape for k, x in endpoints.items()} == {
        stage: (1, side, side, want[stage]) for stage, side in sides.items()
    }


def test_a_size_that_strides_do_not_divide_loses_its_border() -> None:
    model = create_classifier("convnext-nano", image_size=48)
    variables, images = init_variables(model, 0), tiny.images(model, 1)
    run = jax.jit(lambda x: model.apply(variables, x, method="endpoints"))
    got, whole = run(images[:, :47, :47]), run(images[:, :44, :44])
    sides = {"stem": 11, "L1": 11, "L2": 5, "L3": 2, "L4": 1, "final": 1}
    assert {stage: x.shape[1] for stage, x in got.items()} == sides
    np.testing.assert_array_equal(got["L1"], whole["L1"])


def endpoints_in_numpy(images: Any, params: Any, depths: Any) -> Any:
    """Every endpoint, slowly, from the definition."""

    def norm(x: Any, name: Any) -> Any:
        return reference.layer_norm(x, params[name])

    def conv(x: Any, name: Any, side: Any) -> Any:
        pad = ((0, 0), (0, 0))
        return reference.conv(x, params[name]["kernel"], params[name]["bias"], stride=side, pad=pad)

    x = norm(conv(images, "stem_conv", 4), "stem_norm")
    endpoints = {"stem": x}
    for stage, depth in enumerate(depths):
        if stage:
            x = conv(norm(x, f"stage_{stage}_norm"), f"stage_{stage}_conv", 2)
        for i in range(depth):
            x = block_in_numpy(x, params[f"stage_{stage}_block_{i}"])
        endpoints[f"L{stage + 1}"] = x
    return endpoints


def block_in_numpy(x: Any, params: Any) -> Any:
    scope = reference.Scope(params, None)
    y = scope.depthwise(x, "depthwise_conv", pad=((3, 3), (3, 3)))
    y = reference.layer_norm(y + params["depthwise_conv"]["bias"], params["norm"])
    y = scope.dense(reference.gelu(scope.dense(y, "expand")), "project")
    return x + params["layer_scale"] * y


def test_block() -> None:
    x = np.random.default_rng(0).standard_normal((2, 5, 9, 6)).astype(np.float32)
    block = ConvNeXtBlock(0.2)
    variables = random_variables(block, x, train=False)
    got = jax.jit(lambda v, x: block.apply(v, x, False))(variables, x)
    want = block_in_numpy(x, variables["params"])
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("remat", [False, True])
def test_a_tiny_network(remat: Any) -> None:
    net = ConvNeXt(NANO.depths, NANO.widths, remat=remat)
    images = np.random.default_rng(0).standard_normal((2, 64, 32, 3)).astype(np.float32)
    variables = random_variables(net, images, train=False)
    got = jax.jit(lambda v, x: net.apply(v, x, False))(variables, images)
    want = endpoints_in_numpy(images, variables["params"], NANO.depths)
    pooled = reference.layer_norm(want["L4"].mean((1, 2)), variables["params"]["norm"])
    for stage, value in want.items():
        np.testing.assert_allclose(got[stage], value, rtol=1e-4, atol=1e-4, err_msg=stage)
    # Not flat itself, "final" has the mean that a classifier behind a pooled norm would see.
    assert got["final"].std((1, 2)).mean() > 0.1
    np.testing.assert_allclose(got["final"].mean((1, 2)), pooled, rtol=1e-4, atol=1e-4)


def test_stochastic_depth_rises_linearly_to_the_last_block(monkeypatch: pytest.MonkeyPatch) -> None:
    rates = []
    monkeypatch.setattr(convnext, "drop_path", lambda x, key, rate: rates.append(rate) or x)

    def trace(train: Any, **fields: Any) -> Any:
        rates.clear()
        net = create_classifier("convnext-tiny", **fields).make_backbone()
        keys = {"params": jax.random.key(0), "dropout": jax.random.key(1)}
        images = jax.ShapeDtypeStruct((1, 32, 32, 3), jnp.float32)
        jax.eval_shape(lambda x: net.init(keys, x, train), images)
        return list(rates)

    np.testing.assert_allclose(trace(True), np.linspace(0, 0.1, 18)[1:])
    np.testing.assert_allclose(trace(True, stochastic_depth_rate=0.4)[-1], 0.4)
    assert trace(False) == trace(True, stochastic_depth_rate=0.0) == []


def test_initial_values() -> None:
    params = init_variables(create_classifier("convnext-nano"), 0)["params"]["features"]
    block = params["stage_3_block_0"]
    np.testing.assert_array_equal(block["layer_scale"], np.float32(1e-6))
    for name in ("depthwise_conv", "expand", "project"):
        kernel = block[name]["kernel"]
        assert np.abs(kernel).max() <= 0.04 and kernel.std() == pytest.approx(0.0176, rel=0.05)
        np.testing.assert_array_equal(block[name]["bias"], 0)
    assert np.abs(params["stem_conv"]["kernel"]).max() <= 0.04


@pytest.mark.parametrize("option", ["width_coefficient", "batch_norm_epsilon", "nominal_size"])
def test_options_of_other_backbones_are_refused(option: Any) -> None:
    with pytest.raises(ValueError, match="convnext-tiny has no option.*stochastic_depth_rate"):
        create_classifier("convnext-tiny", **{option: 1})


@pytest.mark.parametrize("create", [create_model, create_classifier])
def test_a_training_step(create: Any) -> None:
    """Groups of batch norm are for MAT's parts: the backbone alone has no statistics at all."""
    model = create(backbone="convnext-nano", image_size=64, bn_group_size=4, remat=True)
    assert ("batch_stats" in init_variables(model, 0)) == (create is create_model)
    tx = optax.sgd(0.1)
    step = make_train_step(model, tiny.objective(model), tx)
    step = jax.jit(step, compiler_options=tiny.QUICK_COMPILE)
    batch = tiny.batch(weight=np.array([1, 1, 1, 0, 1, 1, 0, 1], np.float32))
    state, metrics = step(create_train_state(model, tx, 0), batch, jax.random.key(0))
    assert int(state.step) == 1 and np.isfinite(metrics["loss"])


FOREIGN = {
    "transformers": {
        "stem_conv": "embeddings.patch_embeddings",
        "stem_norm": "embeddings.layernorm",
        "norm": "layernorm",
        "conv": "encoder.stages.{}.downsampling_layer.1",
        "stage_norm": "encoder.stages.{}.downsampling_layer.0",
        "block": "encoder.stages.{}.layers.{}",
        "depthwise_conv": "dwconv",
        "block_norm": "layernorm",
        "expand": "pwconv1",
        "project": "pwconv2",
        "layer_scale": "layer_scale_parameter",
        "head": "classifier",
    },
    "timm": {
        "stem_conv": "stem.0",
        "stem_norm": "stem.1",
        "norm": "head.norm",
        "conv": "stages.{}.downsample.1",
        "stage_norm": "stages.{}.downsample.0",
        "block": "stages.{}.blocks.{}",
        "depthwise_conv": "conv_dw",
        "block_norm": "norm",
        "expand": "mlp.fc1",
        "project": "mlp.fc2",
        "layer_scale": "gamma",
        "head": "head.fc",
    },
}


def state_dict(arrays: Any, code: Any, prefix: str = "") -> Any:
    """Our arrays under a foreign code's names, its schemes written from our side."""
    names, state = FOREIGN[code], {}
    for path, value in arrays.items():
        module = foreign.module_of(path)
        if module == "head":
            key, value = foreign.to_torch(path, value, names["head"])
            state[key] = value
            continue
        module = module.removeprefix("features/").removeprefix("features")
        between = re.fullmatch(r"stage_(\d)_(norm|conv)", module)
        block = re.fullmatch(r"stage_(\d)_block_(\d+)/?(.*)", module)
        if block:
            outer = names["block"].format(block[1], block[2])
            inner = names.get(f"block_{block[3]}", names.get(block[3]))
            module = f"{outer}.{inner}" if inner else outer
        elif between:
            kind = "stage_norm" if between[2] == "norm" else "conv"
            module = names[kind].format(between[1])
        else:
            module = names[module]
        if path.endswith("/layer_scale"):
            key = f"{module}.{names['layer_scale']}"
        else:
            key, value = foreign.to_torch(path, value, module)
        state[prefix + key] = value
    return state


@pytest.mark.parametrize(
    ("code", "prefix"), [("transformers", "convnext."), ("transformers", ""), ("timm", "")]
)
def test_names_both_ways(monkeypatch: pytest.MonkeyPatch, code: Any, prefix: Any) -> None:
    deep = Variant((1, 2, 11, 1), (4, 8, 12, 16), 0.0)
    monkeypatch.setitem(BACKBONES, "convnext-deep", convnext.entry(deep))
    model = create_classifier("convnext-deep", num_classes=10, image_size=32, **IMAGENET)
    arrays = foreign.random_variables(model)
    state = state_dict(arrays, code, prefix)
    weights = recognize(state, Path("convnext.safetensors"))
    assert weights.family.startswith(code) and weights.family.endswith("ConvNeXt")
    assert not weights.unexpected and weights.fields == IMAGENET
    flat = flatten(initialize(model, weights))
    assert flat.keys() == arrays.keys()
    for path, value in arrays.items():
        np.testing.assert_array_equal(flat[path], value, err_msg=path)


@pytest.mark.parametrize(
    ("code", "key"),
    [
        ("timm", "stages.0.blocks.0.mlp.grn.weight"),  # of ConvNeXt V2, which is another network
        ("timm", "stages.0.blocks.0.weight"),
        ("transformers", "hidden_states_norms.stage1.weight"),
    ],
)
def test_a_key_that_no_rule_knows_is_refused(code: Any, key: Any) -> None:
    model = create_classifier("convnext-nano", **IMAGENET)
    state = state_dict(foreign.random_variables(model), code) | {key: np.ones(8, np.float32)}
    weights = recognize(state, Path("convnext.safetensors"))
    assert weights.unexpected == (key,)
    with pytest.raises(WeightsMismatchError, match=re.escape(key)):
        initialize(model, weights)


def test_mat_takes_the_backbone_of_a_classifier() -> None:
    source = create_classifier("convnext-nano", num_classes=1000, **IMAGENET)
    arrays = foreign.random_variables(source)
    model = create_model(backbone="convnext-nano", image_size=64, mid_dims=8, **IMAGENET)
    weights = recognize(state_dict(arrays, "timm"), Path("convnext.safetensors"))
    variables = initialize(model, weights)
    path = "features/stage_3_block_0/expand/kernel"
    np.testing.assert_array_equal(flatten(variables)[f"params/{path}"], arrays[f"params/{path}"])
    out = jax.jit(model.apply)(variables, tiny.images(model, 2))
    assert out.attention_maps.shape == (2, 4, 4, 4) and np.isfinite(out.logits).all()


@pytest.fixture(params=["convnext-nano", "convnext-tiny"])
def peer(request: pytest.FixtureRequest) -> Any:
    """Transformers' classifier with random weights, none at a special value, and our name."""
    transformers = pytest.importorskip(
        "transformers", reason="needs transformers (the extra bench)"
    )
    torch = pytest.importorskip("torch", reason="needs PyTorch (the extra bench)")
    variant = NANO if request.param == "convnext-nano" else CONVNEXT_VARIANTS[request.param]
    config = transformers.ConvNextConfig(
        depths=list(variant.depths), hidden_sizes=list(variant.widths), num_labels=10
    )
    net = transformers.ConvNextForImageClassification(config).eval()
    draw = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, value in net.named_parameters():
            spread = 0.3 if value.ndim == 1 else value[0].numel() ** -0.5
            centre = 1.0 if "norm" in name and name.endswith("weight") else 0.0
            value.copy_(centre + spread * torch.randn(value.shape, generator=draw))
    return request.param, net


def ours_and_images(name: Any, state: Any) -> Any:
    """Our classifier with a PyTorch state dict's values, and images in both layouts."""
    import torch

    arrays = {key: value.numpy() for key, value in state.items()}
    weights = recognize(arrays, Path("convnext.pth"))
    model = create_classifier(name, num_classes=10, image_size=64, **weights.fields)
    images = np.random.default_rng(0).standard_normal((2, 64, 64, 3)).astype(np.float32)
    variables = initialize(model, weights)
    return model, variables, images, torch.from_numpy(images.transpose(0, 3, 1, 2).copy())


def relative(got: Any, want: Any) -> Any:
    """The largest difference, relative to the largest entry."""
    return np.abs(np.asarray(got) - want).max() / np.abs(want).max()


def test_logits_of_transformers(peer: Any) -> None:
    import torch

    name, net = peer
    model, variables, images, pixels = ours_and_images(name, net.state_dict())
    with torch.no_grad():
        want = net(pixels).logits.numpy()
    assert relative(jax.jit(model.apply)(variables, images).logits, want) <= 1e-4


def test_stages_of_transformers(peer: Any) -> None:
    import torch

    name, net = peer
    model, variables, images, pixels = ours_and_images(name, net.convnext.state_dict())
    stages = {}
    for stage, module in {
        "stem": net.convnext.embeddings,
        **{f"L{i}": part for i, part in enumerate(net.convnext.encoder.stages, start=1)},
    }.items():
        module.register_forward_hook(
            lambda _, inputs, out, stage=stage: stages.update({stage: out})
        )
    with torch.no_grad():
        pooled = net.convnext(pixels).pooler_output.numpy()
    got = jax.jit(lambda v, x: model.apply(v, x, method="endpoints"))(variables, images)
    assert [*stages] == ["stem", "L1", "L2", "L3", "L4"]
    for stage, value in stages.items():
        assert relative(got[stage], value.numpy().transpose(0, 2, 3, 1)) <= 1e-4, stage
    assert relative(got["final"].mean((1, 2)), pooled) <= 1e-4
