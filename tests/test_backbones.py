"""Backbones: shapes at full size (traced, not run), and every kind of block against NumPy."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference
from random_weights import random_variables

from matnet_jax.backbones import BACKBONES, VARIANTS, efficientnet, find_backbone, resolve_stage
from matnet_jax.backbones.efficientnet import MBConv
from matnet_jax.backbones.xception import Block, XceptionBlock, max_pool
from matnet_jax.model import create_classifier, create_model
from matnet_jax.nn.batch_norm import Norm
from matnet_jax.nn.layers import same_padding

B4_CHANNELS = [48, 24, 32, 56, 112, 160, 272, 448, 1792]
B4_SIZES = {
    "same": [190, 190, 95, 48, 24, 24, 12, 12, 12],
    "nominal": [190, 190, 95, 47, 23, 23, 11, 11, 11],
}
# Parameters without the classifier, as the architectures are published.
PARAMETERS = {
    "efficientnet-b0": 4_007_548,
    "efficientnet-b1": 6_513_184,
    "efficientnet-b2": 7_700_994,
    "efficientnet-b3": 10_696_232,
    "efficientnet-b4": 17_548_616,
    "efficientnet-b5": 28_340_784,
    "efficientnet-b6": 40_735_704,
    "efficientnet-b7": 63_786_960,
    "xception": 20_806_952,
    "efficientnet-lite0": 3_371_008,
    "efficientnet-lite1": 4_135_680,
    "efficientnet-lite2": 4_811_072,
    "efficientnet-lite3": 6_916_096,
    "efficientnet-lite4": 11_725_568,
    "convnext-tiny": 27_820_128,
    "convnext-base": 87_566_464,
    "resnet-50": 23_508_032,
    "resnet-50-slim": 23_508_032,
    "resnet-34": 21_284_672,
    "se-resnext-50": 25_510_896,
    "hrnet-w48": 65_325_120,
    "inception-v3": 21_785_568,
    "densenet-121": 6_953_856,
    "clip-vit-b-32": 87_456_000,
    "clip-vit-b-16": 85_799_424,
    "clip-vit-l-14": 303_179_776,
    "clip-vit-l-14-336": 303_507_456,
    "dinov2-vit-s-14": 22_056_192,
    "dinov2-vit-b-14": 86_579_712,
    "dinov2-vit-l-14": 304_367_616,
    "dinov2-vit-s-14-reg": 22_057_728,
    "dinov2-vit-b-14-reg": 86_582_784,
    "dinov2-vit-l-14-reg": 304_371_712,
}


def trace(name: Any, size: Any = None, train: bool = False, **fields: Any) -> Any:
    """Endpoints and variables as shapes."""
    backbone = create_classifier(name, **fields).make_backbone()
    size = size or find_backbone(name).native_size
    images = jax.ShapeDtypeStruct((1, size, size, 3), jnp.float32)
    keys = {"params": jax.random.key(0), "dropout": jax.random.key(1)}
    endpoints, variables = jax.eval_shape(
        lambda x: backbone.init_with_output(keys, x, train), images
    )
    # Tracing sorts a dict's keys: back to the order of depth.
    return {stage: endpoints[stage] for stage in backbone.endpoint_channels}, variables


@pytest.fixture(scope="module")
def at_native_size() -> Any:
    return {name: trace(name) for name in BACKBONES}


@pytest.mark.parametrize("padding", ["same", "nominal"])
def test_efficientnet_b4_at_380(padding: Any) -> None:
    endpoints, _ = trace("efficientnet-b4", padding=padding)
    names = ["stem", *(f"L{i}" for i in range(1, 8)), "final"]
    assert list(endpoints) == names
    for name, size, channels in zip(names, B4_SIZES[padding], B4_CHANNELS, strict=True):
        assert endpoints[name].shape == (1, size, size, channels), name


def test_nominal_padding_is_by_the_native_size_whatever_the_input() -> None:
    endpoints, _ = trace("efficientnet-b0", size=299, padding="nominal")
    sizes = [x.shape[1] for x in endpoints.values()]
    assert sizes == [149, 149, 74, 37, 18, 18, 9, 9, 9]
    endpoints, _ = trace("efficientnet-b0", size=299, padding="same")
    assert [x.shape[1] for x in endpoints.values()] == [150, 150, 75, 38, 19, 19, 10, 10, 10]


def test_xception_at_299(at_native_size: Any) -> None:
    endpoints, _ = at_native_size["xception"]
    channels = [64, 128, 256, *[728] * 9, 1024, 2048]
    sizes = [147, 74, 37, *[19] * 9, 10, 10]
    assert list(endpoints) == [*(f"b{i}" for i in range(13)), "final"]
    for (name, x), size, count in zip(endpoints.items(), sizes, channels, strict=True):
        assert x.shape == (1, size, size, count), name


@pytest.mark.parametrize("name", BACKBONES)
def test_parameters_of_every_backbone(at_native_size: Any, name: Any) -> None:
    endpoints, variables = at_native_size[name]
    count = sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(variables["params"]))
    assert count == PARAMETERS[name]
    backbone = create_classifier(name).make_backbone()
    assert {k: x.shape[-1] for k, x in endpoints.items()} == backbone.endpoint_channels


@pytest.mark.parametrize("name", VARIANTS)
def test_efficientnet_sizes_at_native_size(at_native_size: Any, name: Any) -> None:
    endpoints, _ = at_native_size[name]
    size, strides = find_backbone(name).native_size, [2, 1, 2, 2, 2, 1, 2, 1, 1]
    for endpoint, stride in zip(endpoints.values(), strides, strict=True):
        size = math.ceil(size / stride)
        assert endpoint.shape[1:3] == (size, size)


def test_native_sizes() -> None:
    sizes = [find_backbone(name).native_size for name in BACKBONES]
    assert sizes[:8] == [224, 240, 260, 300, 380, 456, 528, 600]
    assert sizes[8:] == [299, 224, 240, 260, 280, 300, *[224] * 7, 299, *[224] * 4, 336, *[518] * 6]
    with pytest.raises(ValueError, match=r"efficientnet-b8.*efficientnet-b0"):
        find_backbone("efficientnet-b8")


def test_squeeze_ratio_is_of_the_input_channels(at_native_size: Any) -> None:
    _, variables = at_native_size["efficientnet-b4"]
    blocks = variables["params"]
    assert blocks["block_0"]["se"]["reduce"]["kernel"].shape[2:] == (48, 12)
    assert blocks["block_2"]["se"]["reduce"]["kernel"].shape[2:] == (144, 6)


def test_stochastic_depth_grows_linearly_and_acts_on_skips_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rates = []

    def record(x: Any, key: Any, rate: Any) -> Any:
        rates.append(rate)
        return x

    monkeypatch.setattr(efficientnet, "drop_path", record)
    trace("efficientnet-b4", size=32, train=True)
    repeats = [2, 4, 4, 6, 6, 8, 2]
    first = np.cumsum([0, *repeats[:-1]])
    skips = [i for i in range(32) if i not in first]
    np.testing.assert_allclose(rates, [0.2 * i / 32 for i in skips])
    rates.clear()
    trace("efficientnet-b0", size=32, train=False)
    trace("efficientnet-b0", size=32, train=True, stochastic_depth_rate=0.0)
    assert not rates


def test_resolve_stage() -> None:
    endpoints = ["stem", "L1", "L2", "final"]
    assert [resolve_stage(s, endpoints) for s in ("L2", "b2", "stem", "b0", "final")] == [
        "L2",
        "L2",
        "stem",
        "stem",
        "final",
    ]
    assert resolve_stage("L12", ["b0", "b12"]) == "b12"
    assert resolve_stage("stem", ["b0", "b12"]) == "b0"
    for wrong in ("L9", "b", "Final", ""):
        with pytest.raises(ValueError, match="stem, L1, L2, final"):
            resolve_stage(wrong, endpoints)


@pytest.mark.parametrize(
    ("expansion", "stride", "features", "nominal"),
    [(1, 1, 6, None), (6, 2, 4, 224), (6, 2, 4, None), (6, 1, 5, None)],
)
def test_mbconv(expansion: Any, stride: Any, features: Any, nominal: Any) -> None:
    x = np.random.default_rng(0).standard_normal((2, 7, 9, 6)).astype(np.float32)
    block = MBConv(features, 5, stride, expansion, 0.2, nominal, Norm(0.99, 1e-3))
    variables = random_variables(block, x, train=False)
    pad = tuple(reference.padding(n, 5, stride, nominal) for n in (7, 9))
    scope = reference.Scope(variables["params"], variables["batch_stats"], 1e-3)
    got = jax.jit(lambda v, x: block.apply(v, x, False))(variables, x)
    want = reference.mbconv(x, scope, stride=stride, pad=pad)
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "kind", [Block((5, 8), 2, False), Block((4, 4, 4), 1), Block((6, 6), 2)], ids=str
)
def test_xception_block(kind: Any) -> None:
    x = np.random.default_rng(0).standard_normal((2, 7, 6, 4)).astype(np.float32)
    block = XceptionBlock(kind, False, Norm())
    variables = random_variables(block, x, train=False)
    got = jax.jit(lambda v, x: block.apply(v, x, False))(variables, x)
    want = reference.xception_block(
        x,
        reference.Scope(variables["params"], variables["batch_stats"]),
        convs=len(kind.channels),
        stride=kind.stride,
        starts_with_relu=kind.starts_with_relu,
    )
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("same", [True, False])
def test_max_pool_padding(same: Any) -> None:
    x = np.random.default_rng(0).standard_normal((1, 8, 7, 2)).astype(np.float32)
    padding = same_padding((8, 7), 3, 2) if same else ((1, 1), (1, 1))
    assert padding[0] == ((0, 1) if same else (1, 1))
    np.testing.assert_array_equal(
        max_pool(jnp.asarray(x), same), reference.max_pool(x, padding).astype(np.float32)
    )


@pytest.mark.parametrize(
    ("backbone", "option", "value"),
    [
        ("xception", "padding", "nominal"),
        ("xception", "width_coefficient", 0.5),
        ("xception", "stochastic_depth_rate", 0.1),
        ("efficientnet-b0", "same_max_pool", True),
    ],
)
def test_an_option_that_a_backbone_does_not_know_is_an_error(
    backbone: Any, option: Any, value: Any
) -> None:
    known = BACKBONES[backbone].options[0]
    for create in (create_model, create_classifier):
        with pytest.raises(ValueError, match=f"{backbone} has no option for {option}=.*{known}"):
            create(backbone=backbone, **{option: value})
        create(backbone=backbone, **{option: None})


@pytest.mark.parametrize("recipe", ["paper", "released"])
def test_a_recipes_option_that_the_backbone_does_not_know_is_left_out(recipe: Any) -> None:
    assert create_model(recipe, backbone="xception").padding is None
    assert create_model(recipe).padding == {"paper": "same", "released": "nominal"}[recipe]


def test_options_reach_the_backbone_and_none_is_its_own() -> None:
    own = create_classifier("efficientnet-b0").make_backbone()
    assert (own.nominal_size, own.stochastic_depth_rate, own.norm.epsilon) == (None, 0.2, 1e-3)
    fields = {"padding": "nominal", "stochastic_depth_rate": 0.0, "batch_norm_epsilon": 1e-5}
    set_ = create_classifier("efficientnet-b0", **fields).make_backbone()
    assert (set_.nominal_size, set_.stochastic_depth_rate, set_.norm.epsilon) == (224, 0.0, 1e-5)
    assert create_classifier("xception", same_max_pool=True).make_backbone().same_max_pool


@pytest.mark.parametrize("name", BACKBONES)
def test_default_stages_exist(name: Any) -> None:
    entry = BACKBONES[name]
    channels = create_classifier(name).make_backbone().endpoint_channels
    for stage in (entry.texture_stage, entry.attention_stage, "final"):
        assert resolve_stage(stage, channels) in channels
