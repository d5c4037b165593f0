"""What the winners of the Deepfake Detection Challenge train with, and how their files are read.

`tests/golden/resnets.npz` has the logits that torchvision 0.28.0's ResNet (BSD-3-Clause), of basic
blocks, and timm 1.0.31's SE-ResNeXt (Apache-2.0) gave on a CPU, both with 2, 1, 1 and 1 blocks, for
64 pixels of a wave and with weights that both sides make (`pattern_fill`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import foreign
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pattern_fill
import pytest
import tiny
from flax import traverse_util

from configs.sweeps.runs import low_quality, system, winner
from matnet_jax.backbones.resnet import ResNet
from matnet_jax.detectors.assembly import flatten, variable_shapes
from matnet_jax.detectors.classifier import CrossEntropy
from matnet_jax.model import create_classifier
from matnet_jax.pretrained import initialize
from matnet_jax.pretrained.families import recognize
from matnet_jax.runtime.config_files import load_config
from matnet_jax.train.optim import create_optimizer, create_schedule

LOGITS = np.float32([[0.0, 1.0], [0.0, -2.0], [0.5, 0.0], [0.0, 3.0]])
LABELS, WEIGHT = np.array([1, 0, 0, 1]), np.float32([1, 1, 1, 0])
ONE_LOGIT = LOGITS[:, 1] - LOGITS[:, 0]


def loss_of(weight: np.ndarray = WEIGHT, labels: np.ndarray = LABELS, **fields: Any) -> float:
    batch = {"label": jnp.asarray(labels), "weight": jnp.asarray(weight)}
    return float(CrossEntropy(**fields).of({"logits": jnp.asarray(LOGITS)}, batch)[0])


def entropies(target: np.ndarray) -> np.ndarray:
    """The binary cross entropy of one logit, as Selim Seferbekov's and NTechLab's."""
    return np.log1p(np.exp(ONE_LOGIT)) - target * ONE_LOGIT


def test_each_class_is_half_of_the_loss() -> None:
    each = entropies(LABELS)
    assert loss_of(each_class=True) == pytest.approx((each[0] + (each[1] + each[2]) / 2) / 2)
    # A side that is not there counts as nothing.
    only_reals = np.float32([0, 1, 1, 0])
    assert loss_of(only_reals, each_class=True) == pytest.approx((each[1] + each[2]) / 4)
    smooth = entropies(np.clip(LABELS, 0.01, 0.99))
    want = (smooth[0] + (smooth[1] + smooth[2]) / 2) / 2
    assert loss_of(each_class=True, label_smoothing=0.02) == pytest.approx(want)


def test_classes_may_weigh_more() -> None:
    each = entropies(LABELS)
    want = (0.2 * each[0] + 1.8 * (each[1] + each[2])) / (0.2 + 3.6)
    assert loss_of(class_weights=(1.8, 0.2)) == pytest.approx(want)
    assert loss_of(class_weights=(1.0, 1.0)) == pytest.approx(each[:3].mean())
    assert loss_of(np.zeros(4, np.float32), class_weights=(1.8, 0.2)) == 0.0


def test_nesterov_as_in_pytorch() -> None:
    draw = np.random.default_rng(0)
    start, gradients = draw.standard_normal(3), draw.standard_normal((4, 3))
    tx = create_optimizer("sgd", 0.1, momentum=0.9, nesterov=True, weight_decay=0.01)
    params = jnp.asarray(start)
    state, want, moment = tx.init(params), start.copy(), np.zeros(3)
    for gradient in gradients:
        updates, state = tx.update(jnp.asarray(gradient), state, params)
        params = optax.apply_updates(params, updates)
        decayed = gradient + 0.01 * want
        moment = 0.9 * moment + decayed
        want = want - 0.1 * (decayed + 0.9 * moment)
    np.testing.assert_allclose(params, want, rtol=1e-5)


def test_the_linear_schedule_s_power() -> None:
    schedule = create_schedule("linear", 2.0, total_steps=100, power=0.9)
    want = [2 * (1 - step / 100) ** 0.9 for step in (0, 1, 50, 99, 100)]
    found = [float(schedule(step)) for step in (0, 1, 50, 99, 100)]
    np.testing.assert_allclose(found, want, rtol=1e-5, atol=1e-7)


def selim_state(arrays: Any) -> dict[str, np.ndarray]:
    state = foreign.timm_state_dict(arrays, "efficientnet-b0")
    weight, bias = state.pop("classifier.weight"), state.pop("classifier.bias")
    state = {f"encoder.{name}": value for name, value in state.items()}
    state |= {"encoder.classifier.weight": np.ones((1000, weight.shape[1]), np.float32)}
    state |= {"encoder.classifier.bias": np.ones(1000, np.float32)}
    # One logit is the difference of two.
    return state | {"fc.weight": weight[1:] - weight[:1], "fc.bias": bias[1:] - bias[:1]}


def test_a_file_of_selim_seferbekovs() -> None:
    model = tiny.tiny_classifier(
        depth_coefficient=1.0, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)
    )
    arrays = foreign.random_variables(model)
    state = selim_state(arrays)
    weights = recognize(
        {"epoch": 36, "state_dict": {f"module.{k}": v for k, v in state.items()}}, Path("final_111")
    )
    assert weights.family == "Selim Seferbekov's EfficientNet" and not weights.unexpected
    flat = flatten(initialize(model, weights))
    for path in (p for p in arrays if "/head/" not in p):
        np.testing.assert_array_equal(flat[path], arrays[path], err_msg=path)
    kernel, bias = flat["params/head/kernel"], flat["params/head/bias"]
    features = np.random.default_rng(1).standard_normal((5, len(kernel)))
    logits = features @ kernel + bias
    np.testing.assert_allclose(logits[:, 0], 0)
    own = features @ arrays["params/head/kernel"] + arrays["params/head/bias"]
    np.testing.assert_allclose(logits[:, 1], own[:, 1] - own[:, 0], rtol=1e-4, atol=1e-5)
    unknown = recognize(state | {"encoder.new.weight": np.ones(3), "x": np.ones(1)}, Path("f"))
    assert unknown.unexpected == ("encoder.new.weight", "x")


@pytest.mark.parametrize(
    ("name", "block", "family"),
    [
        ("resnet-34", "basic", "torchvision's ResNet"),
        ("se-resnext-50", "se", "Cadene's SE-ResNeXt"),
    ],
)
def test_residual_networks_as_in_pytorch(name: str, block: Any, family: str) -> None:
    golden = np.load(Path(__file__).parent / "golden" / "resnets.npz")
    shapes = [tuple(map(int, text.split())) for text in golden[f"{name}/shapes"]]
    state = pattern_fill.fill(zip(map(str, golden[f"{name}/names"]), shapes, strict=True))
    weights = recognize(state, Path("f.pth"))
    assert weights.family == family and not weights.unexpected
    arrays = {path.replace("features/", ""): value for path, value in weights.arrays.items()}
    head = {leaf: arrays.pop(f"params/head/{leaf}") for leaf in ("kernel", "bias")}
    net = ResNet((2, 1, 1, 1), block=block)
    variables = traverse_util.unflatten_dict(arrays, sep="/")
    run = jax.jit(lambda v, x: net.apply(v, x, False), compiler_options=tiny.QUICK_COMPILE)
    final = np.asarray(run(variables, pattern_fill.images(1, 64))["final"])
    assert final.shape == (1, 2, 2, net.endpoint_channels["final"])
    logits = final.mean((1, 2)) @ head["kernel"] + head["bias"]
    np.testing.assert_allclose(logits, golden[f"{name}/logits"], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["xcep_bgr_58000.pth.tar", "xception.pth"])
def test_an_xception_that_sees_bgr_is_turned_round(name: str) -> None:
    model = create_classifier("xception", image_size=64)
    arrays = {
        path: np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
        for path, shape in variable_shapes(model).items()
    }
    state = {f"module.model.{k}": v for k, v in foreign.cadene_state_dict(arrays).items()}
    weights = recognize({"state_dict": state}, Path(name))
    assert weights.family == "Cadene's Xception" and weights.arrays.keys() == arrays.keys()
    path = "params/features/conv1/kernel"
    theirs = arrays[path][:, :, ::-1] if "bgr" in name else arrays[path]
    np.testing.assert_array_equal(weights.arrays[path], theirs)
    assert weights.fields == {"mean": (0.5,) * 3, "std": (0.5,) * 3}


@pytest.mark.parametrize(
    ("team", "run", "start", "seed"),
    [
        ("medics", "mc3_224", "medics/mc3_112", 0),
        ("wm", "wsdan-xception", "wm/xception", 0),
        ("ntechlab", "large_crop", None, 30),
        ("selim", "999_23", None, 6),
    ],
)
def test_where_members_of_an_ensemble_start(team: str, run: str, start: Any, seed: int) -> None:
    [found] = [each for each in winner(team) if each.name == f"{team}/{run}"]
    config = load_config(found.config)
    config.update_from_flattened_dict(dict(found.changes))
    assert found.starts_from == start and config.seed == seed


def test_a_network_of_cooccurrences_starts_from_the_line_that_was_fitted() -> None:
    run = system("ld_cnn")
    assert run.starts_from == "steg_features" and run.changes["init.prefixes"] == ("head",)
    assert low_quality("ld_cnn").starts_from == "ld_cnn"
