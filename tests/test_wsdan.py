"""WS-DAN: pooling, crops and drops beside the team's code, centres and losses by hand, files.

`tests/golden/wsdan.npz` has what the code of cuihaoleo/kaggle-dfdc @91dae24a (MIT) gave on a CPU:
its head on made features, with weights that both sides make (`pattern_fill`), and its crops and
drops of made images and maps at a threshold of one half.
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
from families import TINY

from matnet_jax.detectors.assembly import flatten
from matnet_jax.detectors.base import Forward
from matnet_jax.detectors.variables import init_variables
from matnet_jax.detectors.wsdan import (
    WSDAN,
    Augmented,
    Losses,
    crop_to,
    direction,
    draw_maps,
    looked_at,
    pooled_matrix,
)
from matnet_jax.model import create_detector
from matnet_jax.pretrained import dfdc_names, initialize
from matnet_jax.pretrained.families import recognize

GOLDEN = np.load(Path(__file__).parent / "golden" / "wsdan.npz")


def nhwc(name: str) -> np.ndarray:
    return GOLDEN[name].transpose(0, 2, 3, 1)


def test_the_head_as_in_the_team_s_code() -> None:
    shapes = [tuple(map(int, text.split())) for text in GOLDEN["shapes"]]
    state = pattern_fill.fill(zip(map(str, GOLDEN["names"]), shapes, strict=True))
    arrays, unexpected = dfdc_names.convert_wsdan(state, None)
    assert not unexpected
    features = nhwc("features")
    maps = features @ arrays["params/attention_conv/kernel"][0, 0]
    stats = {n: arrays[f"batch_stats/attention_bn/{n}"] for n in ("mean", "var")}
    gain = arrays["params/attention_bn/scale"] / np.sqrt(stats["var"] + 1e-3)
    maps = np.maximum((maps - stats["mean"]) * gain + arrays["params/attention_bn/bias"], 0)
    np.testing.assert_allclose(maps, nhwc("maps"), rtol=1e-4, atol=1e-6)
    feature = direction(pooled_matrix(jnp.asarray(features), jnp.asarray(maps)))
    np.testing.assert_allclose(feature, GOLDEN["feature"], rtol=1e-4, atol=1e-6)
    logits = 100 * feature @ arrays["params/head_conv/kernel"][0, 0]
    np.testing.assert_allclose(logits, GOLDEN["logits"], rtol=1e-4)


def test_crops_and_drops_as_in_the_team_s_code() -> None:
    images, maps = jnp.asarray(nhwc("images")), jnp.asarray(nhwc("attention")[..., 0])
    mask = looked_at(maps, jnp.full(4, 0.5), (12, 12))
    np.testing.assert_allclose(crop_to(images, mask, 0.1), nhwc("crop"), rtol=1e-4, atol=1e-5)
    dropped = jnp.where(mask[..., None], 0.0, images)
    np.testing.assert_array_equal(dropped, nhwc("drop"))
    assert 0 < (dropped == 0).mean() < 1


def test_a_map_that_sees_nothing_crops_nothing() -> None:
    images = jnp.asarray(nhwc("images"))
    nothing = looked_at(jnp.zeros((4, 5, 5)), jnp.full(4, 0.5), (12, 12))
    np.testing.assert_allclose(crop_to(images, nothing, 0.1), images, atol=1e-4)
    np.testing.assert_allclose(crop_to(images, ~nothing & False, 0.1), images, atol=1e-4)
    corner = jnp.zeros((4, 12, 12), bool).at[:, 11, 11].set(True)
    found = crop_to(images, corner, 0.0)
    np.testing.assert_allclose(found, jnp.broadcast_to(images[:, 11:, 11:], images.shape), 1e-5)


def test_maps_are_drawn_by_the_root_of_their_sum() -> None:
    maps = jnp.broadcast_to(jnp.array([0.0, 1.0, 4.0]), (4000, 2, 2, 3))
    drawn = np.asarray(draw_maps(jax.random.key(0), maps))[:, 0, 0]
    assert drawn.shape == (4000, 2)
    for column in drawn.T:
        assert not (column == 0).any()
        assert (column == 4).mean() == pytest.approx(2 / 3, abs=0.03)
    assert 0.4 < (drawn[:, 0] == drawn[:, 1]).mean() < 0.7  # independent: 5/9


class PatchWSDAN(WSDAN):
    """On patch features: everything but the backbone is real."""

    def endpoints(self, images: Any, **mode: Any) -> Any:
        del mode
        return tiny.patch_features(images)


def test_centres_move_by_their_class_s_mean() -> None:
    model = PatchWSDAN(**TINY["wsdan"], image_size=tiny.SIZE, map_dropout_rate=0.0)
    variables = init_variables(model, 0)
    width = variables["feature_centers"]["centers"].shape[1]
    start = np.random.default_rng(0).standard_normal((2, width)).astype(np.float32)
    others = {k: v for k, v in variables.items() if k != "params"}
    others["feature_centers"] = {"centers": jnp.asarray(start)}
    labels, weight = jnp.array([0, 0, 1, 1]), jnp.array([1.0, 1.0, 1.0, 0.0])

    @jax.jit
    def passes(images: Any) -> Any:
        forward = Forward(model, variables["params"], others, weight)
        out = forward(images, key=jax.random.key(0), labels=labels, center_rate=0.25)
        moved = forward.collections["feature_centers"]["centers"]
        # Later passes leave them.
        forward(images, key=jax.random.key(1), keep=("feature_centers",))
        return out, moved, forward.collections["feature_centers"]["centers"]

    out, moved, left = passes(tiny.images(model, 4))
    unit = start / np.linalg.norm(start, axis=1, keepdims=True)
    np.testing.assert_allclose(out["center"], unit[np.asarray(labels)], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(out["feature"], axis=1), 1, rtol=1e-5)
    feature = np.asarray(out["feature"])
    moves = np.stack([feature[:2].mean(0) - unit[0], feature[2] - unit[1]])
    np.testing.assert_allclose(moved, start + 0.25 * moves, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(left, moved)


def test_the_loss_of_three_passes() -> None:
    """By a network that tells of an image its mean, and looks at its first quarter."""
    seen: list[Any] = []

    def forward(images: Any, *, key: Any, **arguments: Any) -> Any:
        del key
        seen.append((images, arguments))
        z = images.mean((1, 2, 3))
        out = {"logits": jnp.stack([jnp.zeros_like(z), z], axis=1)}
        if "labels" in arguments:
            maps = jnp.zeros((2, 4, 4, 2)).at[:, :2, :2].set(1.0)
            feature = jnp.array([[1.0, 0.0], [0.6, 0.8]])
            out |= {"attention_maps": maps, "feature": feature, "center": jnp.zeros((2, 2))}
        return out

    images = jnp.arange(2 * 8 * 8 * 3, dtype=jnp.float32).reshape(2, 8, 8, 3) / 100
    batch = {"image": images, "label": jnp.array([0, 1]), "weight": jnp.ones(2)}
    objective = Augmented(Losses(center=0.1), optax.constant_schedule(0.05))
    loss, metrics = objective(forward, batch, jax.random.key(0), jnp.int32(0))
    (_, first), (cropped, second), (dropped, third) = seen
    assert first["center_rate"] == 0.05 and second == third == {"keep": ("feature_centers",)}
    assert not dropped[:, :3, :3].any() and dropped[:, 5:].all()
    assert cropped.max() < images.max() and cropped.shape == images.shape
    assert metrics["center"] == pytest.approx(1.0)

    def entropy(shown: Any) -> Any:
        z = np.asarray(shown).mean((1, 2, 3))
        return np.mean(np.log1p(np.exp(z)) - np.array([0, 1]) * z)

    want = entropy(images) + entropy(cropped) / 3 + entropy(dropped) / 2 + 0.1
    assert float(loss) == pytest.approx(want, rel=1e-5)


@pytest.mark.parametrize("with_centers", [False, True])
def test_a_file_of_the_team(with_centers: bool) -> None:
    model = create_detector(
        "wsdan", **TINY["wsdan"] | {"depth_coefficient": 1.0}, image_size=tiny.SIZE
    )
    arrays = foreign.random_variables(model)
    state = {}
    for path, value in arrays.items():
        if path.startswith("feature_centers"):
            continue
        module = foreign.module_of(path)
        if module.startswith("features/"):
            module = f"EFN.{lukemelas(module)}"
        else:
            module = {"head_conv": "fc"}.get(module, module.replace("attention_", "attentions."))
        name, array = foreign.to_torch(path, value, module)
        state[name] = array[..., 0, 0] if name == "fc.weight" else array
    state["EFN._fc.weight"], state["EFN._fc.bias"] = np.ones((1000, 4)), np.ones(1000)
    loaded: dict[str, Any] = {"logs": {"epoch": 3}, "state_dict": state}
    if with_centers:
        loaded["feature_center"] = arrays["feature_centers/centers"]
    weights = recognize(loaded, Path("ckpt_e.pth"))
    assert weights.family == "WM's WS-DAN" and not weights.unexpected
    flat = flatten(initialize(model, weights))
    for path, value in arrays.items():
        if path.startswith("feature_centers") and not with_centers:
            value = np.zeros_like(value)
        np.testing.assert_array_equal(flat[path], value, err_msg=path)


def lukemelas(module: str) -> str:
    """`efficientnet_pytorch`'s name of our module path."""
    outer = {"stem_conv": "_conv_stem", "stem_bn": "_bn0", "head_conv": "_conv_head"}
    outer["head_bn"] = "_bn1"
    _, first, *rest = module.split("/")
    if first in outer:
        return outer[first]
    inner = {"expand_bn": "_bn0", "depthwise_bn": "_bn1", "project_bn": "_bn2"}
    part = f"_se_{rest[1]}" if rest[0] == "se" else inner.get(rest[0], f"_{rest[0]}")
    return f"_blocks.{first.removeprefix('block_')}.{part}"
