"""ResNet-50 and HRNet: against NumPy, public code run once beside ours, and names both ways.

`tests/golden/hrnet.npz` has what HRNet's PyTorch code gave on a CPU for a small network, whose
weights both sides make from its names and shapes.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import foreign
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference
import tiny
from random_weights import random_variables

from matnet_jax.backbones.hrnet import HRNet
from matnet_jax.backbones.resnet import ResNet
from matnet_jax.detectors.assembly import flatten
from matnet_jax.model import create_classifier, create_detector
from matnet_jax.pretrained import WeightsMismatchError, initialize, residual_names
from matnet_jax.pretrained.families import recognize

GOLDEN = np.load(Path(__file__).parent / "golden" / "hrnet.npz")
NARROW = {"width_coefficient": 0.05, "image_size": 64}


def pattern(names: Any, shapes: Any) -> dict[str, np.ndarray]:
    """A PyTorch state dict filled by rule, entry after entry; the golden was made so."""
    draw, state = np.random.RandomState(0), {}
    for name, shape in zip(names, shapes, strict=True):
        value = draw.standard_normal(shape)
        if name.endswith("running_var"):
            value = 1 + 0.1 * np.abs(value)
        elif len(shape) >= 2:
            value = value / np.sqrt(np.prod(shape[1:]))
        elif name.endswith("weight"):
            value = 1 + 0.1 * value
        else:
            value = 0.1 * value
        state[name] = value.astype(np.float32)
    return state


def wave(batch: int, size: int) -> np.ndarray:
    """The golden's images, [B, S, S, 3]."""
    count = batch * 3 * size * size
    x = np.sin(np.mod(0.37 * np.arange(count), 7)).reshape(batch, 3, size, size)
    return x.transpose(0, 2, 3, 1).astype(np.float32)


def test_hrnet_as_in_pytorch() -> None:
    shapes = [tuple(map(int, text.split())) for text in GOLDEN["shapes"]]
    state = pattern([str(name) for name in GOLDEN["names"]], shapes)
    net = HRNet((4, 8, 16, 32), bottlenecks=1, modules=(1, 2, 1), blocks=2)
    arrays, unexpected = residual_names.convert(state)
    assert not unexpected
    variables: dict[str, Any] = {}
    for path, value in arrays.items():
        *outer, leaf = path.replace("/features/", "/").split("/")
        tree = variables
        for part in outer:
            tree = tree.setdefault(part, {})
        tree[leaf] = value
    run = jax.jit(lambda v, x: net.apply(v, x, False), compiler_options=tiny.QUICK_COMPILE)
    got = run(variables, wave(2, 64))["final"]
    want = GOLDEN["features"].transpose(0, 2, 3, 1)
    assert np.abs(got - want).max() <= 1e-4 * np.abs(want).max()


def resnet_in_numpy(images: Any, variables: Any, depths: Any, slim: bool) -> Any:
    scope = reference.Scope(variables["params"], variables["batch_stats"])
    x = scope.conv(images, "stem_conv", stride=2, pad=((3, 3), (3, 3)))
    x = reference.relu(scope.norm(x, "stem_bn"))
    pad = [reference.padding(n, 3, 2) if slim else (1, 1) for n in x.shape[1:3]]
    x = reference.max_pool(x, pad)
    for stage, depth in enumerate(depths, start=1):
        for i in range(depth):
            block = scope.child(f"stage_{stage}_block_{i}")
            stride = 1 + (stage < 4 and i == depth - 1 if slim else stage > 1 and i == 0)
            y = reference.relu(block.norm(block.conv(x, "conv_1"), "bn_1"))
            y = block.conv(y, "conv_2", stride=stride, pad=((1, 1), (1, 1)))
            y = block.norm(block.conv(reference.relu(block.norm(y, "bn_2")), "conv_3"), "bn_3")
            skip = x[:, ::stride, ::stride]
            if "conv_skip" in block.params:
                skip = block.norm(block.conv(skip, "conv_skip"), "bn_skip")
            x = reference.relu(y + skip)
    return x


@pytest.mark.parametrize("slim", [False, True])
def test_a_small_resnet(slim: bool) -> None:
    depths = (2, 1, 1, 2)
    net = ResNet(depths, width=2, slim=slim)
    images = np.random.default_rng(0).standard_normal((2, 38, 32, 3)).astype(np.float32)
    variables = random_variables(net, images, train=False)
    run = jax.jit(lambda v, x: net.apply(v, x, False), compiler_options=tiny.QUICK_COMPILE)
    got = run(variables, images)["final"]
    want = resnet_in_numpy(images, variables, depths, slim)
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "sides"),
    [
        ("resnet-50", (56, 56, 28, 14, 7, 7)),
        ("resnet-50-slim", (56, 28, 14, 7, 7, 7)),
        ("hrnet-w48", (56,) * 6),
    ],
)
def test_sizes(name: Any, sides: Any) -> None:
    backbone = create_classifier(name).make_backbone()
    images = jax.ShapeDtypeStruct((1, 224, 224, 3), jnp.float32)
    endpoints, _ = jax.eval_shape(
        lambda x: backbone.init_with_output(jax.random.key(0), x, False), images
    )
    found = tuple(endpoints[stage].shape[1] for stage in backbone.endpoint_channels)
    assert found == sides


def resnet_module(module: str) -> str:
    """Torchvision's name of our module path, its scheme written from our side."""
    if module == "head":
        return "fc"
    module = module.removeprefix("features/")
    if module.startswith("stem_"):
        return f"{module.removeprefix('stem_')}1"
    stage, block, kind, part = re.fullmatch(
        r"stage_(\d)_block_(\d+)/(conv|bn)_(\w+)", module
    ).groups()
    skip = {"conv": "downsample.0", "bn": "downsample.1"}[kind]
    return f"layer{stage}.{block}." + (skip if part == "skip" else f"{kind}{part}")


def hrnet_module(module: str) -> str:
    """HRNet's name of our module path, its scheme written from our side."""
    module = module.removeprefix("features/")
    if module.startswith("stage_1_"):
        return resnet_module(module)
    outer, _, inner = module.rpartition("/")
    if outer.startswith("stem_"):
        return f"{inner}{outer[-1]}"
    row = {"conv": 0, "bn": 1}.get(inner)
    if outer.startswith("transition_"):
        _, number, branch = outer.split("_")
        return f"transition{number}.{branch}" + (".0" if branch != "0" else "") + f".{row}"
    whole, part = outer.split("/")
    _, stage, _, number = whole.split("_")
    place = part.split("_")
    if place[0] == "branch":
        kind, i = inner.split("_")
        return f"stage{stage}.{number}.branches.{place[1]}.{place[3]}.{kind}{i}"
    return f"stage{stage}.{number}.fuse_layers.{'.'.join(place[1:])}.{row}"


@pytest.mark.parametrize(
    ("name", "family"), [("resnet-50", "torchvision's ResNet"), ("hrnet-w48", "HRNet")]
)
def test_names_both_ways(name: Any, family: Any) -> None:
    module = {"resnet-50": resnet_module, "hrnet-w48": hrnet_module}[name]
    model = create_classifier(name, num_classes=10, **NARROW)
    arrays = {
        path: value
        for path, value in foreign.random_variables(model).items()
        if name == "resnet-50" or "/head/" not in path
    }
    state = dict(
        foreign.to_torch(path, value, module(foreign.module_of(path)))
        for path, value in arrays.items()
    )
    state |= {"bn1.num_batches_tracked": np.zeros((), np.int64)}
    if name == "hrnet-w48":
        state |= {"classifier.weight": np.zeros((10, 4), np.float32)}
    weights = recognize(state, Path("weights.pth"))
    assert weights.family == family and not weights.unexpected
    fields = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
    assert weights.fields == fields
    target = create_classifier(name, num_classes=10, **NARROW, **fields)
    prefixes = None if name == "resnet-50" else ("features",)
    flat = flatten(initialize(target, weights, prefixes=prefixes))
    for path, value in arrays.items():
        np.testing.assert_array_equal(flat[path], value, err_msg=path)
    with pytest.raises(WeightsMismatchError, match="stage_1_block_7/conv_1/bias"):
        more = state | {"layer1.7.conv1.bias": np.zeros(4, np.float32)}
        initialize(target, recognize(more, Path("weights.pth")), prefixes=prefixes)


def test_other_systems_take_their_backbones_from_these() -> None:
    """A ResNet of ImageNet's starts FWA and DSP-FWA, an HRNet Face X-ray; heads stay their own."""
    fields = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225), **NARROW}
    arrays = foreign.random_variables(create_classifier("resnet-50", num_classes=1000, **NARROW))
    state = dict(
        foreign.to_torch(path, value, resnet_module(foreign.module_of(path)))
        for path, value in arrays.items()
    )
    weights = recognize(state, Path("resnet50.pth"))
    for name in ("fwa", "dsp_fwa"):
        flat = flatten(initialize(create_detector(name, **fields), weights))
        path = "params/features/stage_4_block_2/conv_3/kernel"
        np.testing.assert_array_equal(flat[path], arrays[path])
