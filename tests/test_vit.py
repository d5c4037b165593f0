"""Vision transformers: blocks against NumPy, names of every code, and transformers' own outputs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import foreign
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import reference
import tiny
from random_weights import random_variables

from matnet_jax.backbones import BACKBONES, vit
from matnet_jax.backbones.vit import CLIP, DINOV2, Block, Form, Variant, ViT
from matnet_jax.detectors.assembly import flatten
from matnet_jax.model import create_classifier, init_variables
from matnet_jax.pretrained import WeightsMismatchError, initialize
from matnet_jax.pretrained.families import recognize
from matnet_jax.train.state import create_train_state
from matnet_jax.train.step import make_train_step

SMALL = {
    "small-clip": Variant(CLIP, 8, 2, 3, 6),
    "small-dinov2": Variant(DINOV2, 7, 2, 3, 8),
    "small-registers": Variant(DINOV2, 7, 2, 3, 8, registers=4),
}
FIELDS = {
    "clip": {
        "mean": (0.48145466, 0.4578275, 0.40821073),
        "std": (0.26862954, 0.26130258, 0.27577711),
    },
    "dinov2": {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)},
}


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Backbones that a test can run, in the table like the others."""
    for name, variant in SMALL.items():
        monkeypatch.setitem(BACKBONES, name, vit.entry(variant))


def test_endpoints_are_maps_of_whole_patches() -> None:
    net = ViT(SMALL["small-registers"])
    images = jax.ShapeDtypeStruct((2, 37, 48, 3), jnp.float32)
    endpoints, _ = jax.eval_shape(
        lambda x: net.init_with_output(jax.random.key(0), x, False), images
    )
    assert {name: x.shape for name, x in endpoints.items()} == {
        **dict.fromkeys(("stem", "block1", "block2", "block3", "final"), (2, 5, 6, 128)),
        "class_attention": (2, 5, 6, 2),
        "class_token": (2, 1, 1, 128),
    }
    assert [*net.endpoint_channels][-3:] == ["class_attention", "class_token", "final"]
    for name, channels in net.endpoint_channels.items():
        assert endpoints[name].shape[-1] == channels


def block_in_numpy(x: Any, params: Any, form: Form, heads: int) -> tuple[Any, Any]:
    """A block's tokens and the class's attention, an example, a head and a query at a time."""
    outer, inner = reference.Scope(params, None), reference.Scope(params["attention"], None)
    y = reference.layer_norm(x, params["norm_1"], form.epsilon)
    query, key, value = (inner.dense(y, name) for name in ("query", "key", "value"))
    size = x.shape[-1] // heads
    taken, looked_at = np.zeros_like(query), np.zeros((len(x), heads, x.shape[1]))
    for i in range(len(x)):
        for head in range(heads):
            part = slice(head * size, (head + 1) * size)
            for t in range(x.shape[1]):
                scores = np.exp(key[i, :, part] @ query[i, t, part] / np.sqrt(size))
                scores /= scores.sum()
                taken[i, t, part] = scores @ value[i, :, part]
                if t == 0:
                    looked_at[i, head] = scores
    y = inner.dense(taken, "out")
    x = x + (y * params["layer_scale_1"] if form.layer_scale else y)
    y = outer.dense(reference.layer_norm(x, params["norm_2"], form.epsilon), "expand")
    y = y * reference.sigmoid(1.702 * y) if form.quick_gelu else reference.gelu(y)
    y = outer.dense(y, "project")
    return x + (y * params["layer_scale_2"] if form.layer_scale else y), looked_at


@pytest.mark.parametrize("form", [CLIP, DINOV2])
@pytest.mark.parametrize("rank", [0, 2])
def test_block(form: Form, rank: int) -> None:
    x = np.random.default_rng(0).standard_normal((2, 5, 12)).astype(np.float32)
    block = Block(3, form, rank)
    variables = random_variables(block, x)
    got = jax.jit(block.apply)(variables, x)
    params = dict(variables["params"])
    if rank:
        params["attention"] = {
            name: {**leaves, "kernel": whole(leaves)}
            for name, leaves in params["attention"].items()
        }
    for mine, wanted in zip(got, block_in_numpy(x, params, form, 3), strict=True):
        np.testing.assert_allclose(mine, wanted, rtol=1e-4, atol=1e-5)


def whole(leaves: Any) -> Any:
    now, given = (
        leaves[f"{name}_left"] * leaves[f"{name}_values"] @ leaves[f"{name}_right"]
        for name in ("residual", "given")
    )
    return leaves["kernel"] + now - given


@pytest.mark.parametrize("name", SMALL)
def test_remat_and_bfloat16_are_the_same_network(name: str) -> None:
    images = np.random.default_rng(0).standard_normal((2, 48, 48, 3)).astype(np.float32)
    variables = random_variables(ViT(SMALL[name]), images, train=False)

    def run(**fields: Any) -> Any:
        net = ViT(SMALL[name], **fields)
        return jax.jit(lambda v, x: net.apply(v, x, False))(variables, images)

    want = run()
    for stage, value in run(remat=True).items():
        np.testing.assert_allclose(value, want[stage], atol=1e-5, err_msg=stage)
    half = run(dtype=jnp.bfloat16)
    assert half["final"].dtype == jnp.bfloat16
    assert half["class_attention"].dtype == jnp.float32
    spread = want["final"].std()
    assert np.abs(half["final"].astype(jnp.float32) - want["final"]).mean() < 0.05 * spread
    assert (want["class_attention"] >= 0).all()
    assert (want["class_attention"].sum((1, 2)) < 1).all()  # the class's own share is missing


@pytest.mark.parametrize("name", ["small-clip", "small-registers"])
def test_a_plain_classifier_trains(name: str) -> None:
    model = create_classifier(name, image_size=tiny.SIZE, remat=True)
    tx = optax.sgd(0.1)
    step = make_train_step(model, tiny.objective(model), tx)
    step = jax.jit(step, compiler_options=tiny.QUICK_COMPILE)
    state = create_train_state(model, tx, 0)
    moved, metrics = step(state, tiny.batch(), jax.random.key(0))
    assert int(moved.step) == 1 and np.isfinite(metrics["loss"])
    before, after = (
        flatten(s.params["features"]) for s in (create_train_state(model, tx, 0), moved)
    )
    still = [path for path in after if np.array_equal(before[path], after[path])]
    # "final" has patches alone: the last block's query of the class moves nothing, but all that
    # computes patches does.
    assert still == []


def test_coefficients_make_it_small() -> None:
    net = create_classifier(
        "clip-vit-l-14", width_coefficient=0.1, depth_coefficient=0.1
    ).make_backbone()
    assert (net.width, net.variant.depth, net.variant.patch) == (128, 3, 14)
    with pytest.raises(ValueError, match=r"clip-vit-l-14 has no option.*width_coefficient"):
        create_classifier("clip-vit-l-14", stochastic_depth_rate=0.1)


def test_initial_values() -> None:
    params = init_variables(create_classifier("small-registers"), 0)["params"]["features"]
    np.testing.assert_array_equal(params["block_0"]["layer_scale_1"], 1)
    np.testing.assert_array_equal(params["register_tokens"], 0)
    kernel = params["block_1"]["attention"]["query"]["kernel"]
    assert np.abs(kernel).max() <= 0.04 and kernel.std() == pytest.approx(0.0176, rel=0.05)


BLOCK = {
    "attention/query": "query",
    "attention/key": "key",
    "attention/value": "value",
}
CODES: dict[str, dict[str, str]] = {
    "transformers' CLIP": {
        "class_embedding": "embeddings.class_embedding",
        "position_embedding": "embeddings.position_embedding.weight",
        "patch_conv": "embeddings.patch_embedding",
        "norm_first": "pre_layrnorm",
        "norm_last": "post_layernorm",
        "block": "encoder.layers.{}.",
        "norm_1": "layer_norm1",
        "norm_2": "layer_norm2",
        "attention/query": "self_attn.q_proj",
        "attention/key": "self_attn.k_proj",
        "attention/value": "self_attn.v_proj",
        "attention/out": "self_attn.out_proj",
        "expand": "mlp.fc1",
        "project": "mlp.fc2",
    },
    "open_clip's CLIP": {
        "class_embedding": "class_embedding",
        "position_embedding": "positional_embedding",
        "patch_conv": "conv1",
        "norm_first": "ln_pre",
        "norm_last": "ln_post",
        "block": "transformer.resblocks.{}.",
        "norm_1": "ln_1",
        "norm_2": "ln_2",
        "fused": "attn.in_proj_",
        "attention/out": "attn.out_proj",
        "expand": "mlp.c_fc",
        "project": "mlp.c_proj",
    },
    "timm's CLIP": {
        "class_embedding": "cls_token",
        "position_embedding": "pos_embed",
        "patch_conv": "patch_embed.proj",
        "norm_first": "norm_pre",
        "norm_last": "norm",
        "block": "blocks.{}.",
        "norm_1": "norm1",
        "norm_2": "norm2",
        "fused": "attn.qkv.",
        "attention/out": "attn.proj",
        "expand": "mlp.fc1",
        "project": "mlp.fc2",
    },
    "transformers' DINOv2": {
        "class_embedding": "embeddings.cls_token",
        "position_embedding": "embeddings.position_embeddings",
        "register_tokens": "embeddings.register_tokens",
        "patch_conv": "embeddings.patch_embeddings.projection",
        "norm_last": "layernorm",
        "block": "encoder.layer.{}.",
        "norm_1": "norm1",
        "norm_2": "norm2",
        "attention/query": "attention.attention.query",
        "attention/key": "attention.attention.key",
        "attention/value": "attention.attention.value",
        "attention/out": "attention.output.dense",
        "layer_scale_1": "layer_scale1.lambda1",
        "layer_scale_2": "layer_scale2.lambda1",
        "expand": "mlp.fc1",
        "project": "mlp.fc2",
    },
}
CODES["DINOv2"] = CODES["timm's CLIP"] | {
    "register_tokens": "register_tokens",
    "layer_scale_1": "ls1.gamma",
    "layer_scale_2": "ls2.gamma",
}


def state_dict(arrays: Any, code: str, prefix: str = "") -> dict[str, Any]:
    """Our arrays under a foreign code's names, its schemes written from our side."""
    names, state = CODES[code], {}
    for path, value in arrays.items():
        inner = path.removeprefix("params/features/")
        block = re.match(r"block_(\d+)/", inner)
        outer = names["block"].format(block[1]) if block else ""
        inner = re.sub(r"^block_\d+/", "", inner)
        if inner in names:  # a leaf of no module
            shaped = value[None, None] if inner == "class_embedding" else value
            shaped = value if code == "open_clip's CLIP" or "scale" in inner else shaped
            state[prefix + outer + names[inner]] = shaped
            continue
        module = inner.rpartition("/")[0]
        if module in BLOCK and "fused" in names:
            continue
        key, value = foreign.to_torch(path, value, outer + names[module])
        state[prefix + key] = value
        if module == "attention/out" and "fused" in names:
            for leaf in ("weight", "bias"):
                ours = "kernel" if leaf == "weight" else "bias"
                parts = [
                    arrays[f"{path.rpartition('/')[0].rpartition('/')[0]}/{part}/{ours}"].T
                    for part in ("query", "key", "value")
                ]
                state[f"{prefix}{outer}{names['fused']}{leaf}"] = np.concatenate(parts)
    return state


OTHERS: dict[str, dict[str, Any]] = {
    "vision_model.": {"text_model.final_layer_norm.weight": 1, "logit_scale": 1},
    "visual.": {"visual.proj": 1, "transformer.resblocks.0.ln_1.weight": 1, "ln_final.bias": 1},
}


@pytest.mark.parametrize(
    ("code", "prefix", "name"),
    [
        ("transformers' CLIP", "", "small-clip"),
        ("transformers' CLIP", "vision_model.", "small-clip"),
        ("open_clip's CLIP", "", "small-clip"),
        ("open_clip's CLIP", "visual.", "small-clip"),
        ("timm's CLIP", "", "small-clip"),
        ("transformers' DINOv2", "", "small-dinov2"),
        ("transformers' DINOv2", "dinov2_with_registers.", "small-registers"),
        ("DINOv2", "", "small-dinov2"),
        ("DINOv2", "", "small-registers"),
    ],
)
def test_names_of_every_code(code: str, prefix: str, name: str) -> None:
    kind = "clip" if "clip" in name else "dinov2"
    model = create_classifier(name, image_size=48, **FIELDS[kind])
    arrays = {
        path: value
        for path, value in foreign.random_variables(model).items()
        if path.startswith("params/features/")
    }
    others = {key: np.ones(3, np.float32) for key in OTHERS.get(prefix, {})}
    weights = recognize(state_dict(arrays, code, prefix) | others, Path("x.safetensors"))
    assert weights.family == code and not weights.unexpected and weights.fields == FIELDS[kind]
    assert weights.arrays.keys() == arrays.keys()
    flat = flatten(initialize(model, weights))
    for path, value in arrays.items():
        np.testing.assert_array_equal(flat[path], value, err_msg=path)


def test_timm_s_registers_leave_the_class_without_a_position() -> None:
    model = create_classifier("small-registers", image_size=48, **FIELDS["dinov2"])
    arrays = foreign.random_variables(model)
    arrays = {path: value for path, value in arrays.items() if "features" in path}
    state = state_dict(arrays, "DINOv2")
    state["reg_token"] = state.pop("register_tokens")
    state["pos_embed"] = state["pos_embed"][None, 1:]
    flat = flatten(initialize(model, recognize(state, Path("x.safetensors"))))
    path = "params/features/position_embedding"
    np.testing.assert_array_equal(flat[path][1:], arrays[path][1:])
    assert not flat[path][0].any()


def test_a_key_that_no_rule_knows_is_refused() -> None:
    model = create_classifier("small-dinov2", image_size=48, **FIELDS["dinov2"])
    arrays = foreign.random_variables(model)
    key = "blocks.0.mlp.w12.weight"  # of DINOv2's giant, which is another network
    state = state_dict({k: v for k, v in arrays.items() if "features" in k}, "DINOv2")
    weights = recognize(state | {key: np.ones((8, 8), np.float32)}, Path("x.pth"))
    assert weights.unexpected == (key,)
    with pytest.raises(WeightsMismatchError, match=re.escape(key)):
        initialize(model, weights)


@pytest.fixture(params=SMALL)
def peer(request: pytest.FixtureRequest) -> Any:
    """Our name of a network, and transformers' one with random weights."""
    transformers = pytest.importorskip(
        "transformers", reason="needs transformers (the extra bench)"
    )
    torch = pytest.importorskip("torch", reason="needs PyTorch (the extra bench)")
    variant = SMALL[request.param]
    fields = {
        "hidden_size": 64 * variant.heads,
        "num_hidden_layers": variant.depth,
        "num_attention_heads": variant.heads,
        "image_size": variant.patch * variant.grid,
        "patch_size": variant.patch,
    }
    if variant.form is CLIP:
        config = transformers.CLIPVisionConfig(intermediate_size=256 * variant.heads, **fields)
        net = transformers.CLIPVisionModel(config)
    elif variant.registers:
        config = transformers.Dinov2WithRegistersConfig(num_register_tokens=4, **fields)
        net = transformers.Dinov2WithRegistersModel(config)
    else:
        net = transformers.Dinov2Model(transformers.Dinov2Config(**fields))
    draw = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, value in net.named_parameters():
            spread = 0.3 if value.ndim == 1 else value[0].numel() ** -0.5
            centre = 1.0 if "norm" in name and name.endswith("weight") else 0.0
            value.copy_(centre + spread * torch.randn(value.shape, generator=draw))
    return request.param, net.eval()


def relative(got: Any, want: Any) -> Any:
    """The largest difference, relative to the largest entry."""
    return np.abs(np.asarray(got).reshape(want.shape) - want).max() / np.abs(want).max()


# The network's own size, and others: more patches and fewer, not square, and a rest at the border.
@pytest.mark.parametrize("size", [None, (64, 80), (30, 37)])
def test_blocks_of_transformers(peer: Any, size: Any) -> None:
    import torch

    name, net = peer
    variant = SMALL[name]
    weights = recognize({k: v.numpy() for k, v in net.state_dict().items()}, Path("x.pth"))
    model = create_classifier(name, image_size=48, **weights.fields)
    size = size or (variant.patch * variant.grid,) * 2
    images = np.random.default_rng(0).standard_normal((2, *size, 3)).astype(np.float32)
    variables = initialize(model, weights)
    got = jax.jit(lambda v, x: model.apply(v, x, method="endpoints"))(variables, images)
    options = {"interpolate_pos_encoding": True} if variant.form is CLIP else {}
    with torch.no_grad():
        pixels = torch.from_numpy(images.transpose(0, 3, 1, 2).copy())
        out = net(pixels, output_hidden_states=True, **options)
    stages = ["stem", *(f"block{i}" for i in range(1, variant.depth + 1))]
    for stage, hidden in zip(stages, out.hidden_states, strict=True):
        patches = hidden.numpy()[:, 1 + variant.registers :]
        assert relative(got[stage], patches) <= 1e-4, stage
    assert relative(got["class_token"], out.pooler_output.numpy()) <= 1e-4
