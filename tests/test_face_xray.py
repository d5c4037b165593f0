"""Face X-ray: both heads and their losses against their definitions."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference
import tiny
from random_weights import random_variables

from matnet_jax.config import default_config
from matnet_jax.config.build import build_model, build_objective
from matnet_jax.detectors.face_xray import (
    FaceXRay,
    Losses,
    PaperMap,
    PaperVerdict,
    PublicMap,
    PublicVerdict,
    softened,
    xray_of_mask,
)
from matnet_jax.detectors.variables import abstract_variables
from matnet_jax.model import create_detector

SMALL = {"width_coefficient": 0.05, "depth_coefficient": 0.1, "image_size": 64}


def test_xray_is_largest_halfway_through_the_border() -> None:
    mask = np.uint8([[[0, 51, 102, 153, 204, 255]]])
    np.testing.assert_allclose(xray_of_mask(mask)[0, 0], [0, 0.64, 0.96, 0.96, 0.64, 0], atol=1e-6)


def test_a_hard_mask_has_an_xray_once_it_is_softened() -> None:
    mask = np.zeros((1, 9, 9), np.uint8)
    mask[:, :, 4:] = 255
    assert not xray_of_mask(softened(mask, 0)).any()
    want = np.float32([0, 0, 1 / 5, 2 / 5, 3 / 5, 4 / 5, 1, 1, 1])
    np.testing.assert_allclose(softened(mask, 2)[0] / 255, np.tile(want, (9, 1)), atol=1e-6)
    xray = xray_of_mask(softened(mask, 2))
    np.testing.assert_allclose(xray[0, 4], 4 * want * (1 - want), atol=1e-6)


def centred(x: Any, size: int) -> Any:
    """Bilinear between the centres of pixels, place by place: [B, h, w, C]."""
    y = np.zeros((len(x), size, size, x.shape[-1]))
    for i, j in np.ndindex(size, size):
        places = [np.clip((k + 0.5) * len(x[0]) / size - 0.5, 0, len(x[0]) - 1) for k in (i, j)]
        (top, left), (v, u) = (int(p) for p in places), (p % 1 for p in places)
        bottom, right = (min(k + 1, len(x[0]) - 1) for k in (top, left))
        above = (1 - u) * x[:, top, left] + u * x[:, top, right]
        y[:, i, j] = (1 - v) * above + v * ((1 - u) * x[:, bottom, left] + u * x[:, bottom, right])
    return y


def test_the_papers_head() -> None:
    x = np.random.default_rng(0).standard_normal((2, 4, 4, 6)).astype(np.float32)
    variables = random_variables(PaperMap(), x, size=(16, 16), train=False, weight=None)
    got = PaperMap().apply(variables, x, (16, 16), False, None)
    want = centred(reference.Scope(variables["params"], None).conv(x, "conv"), 16)
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)
    verdict = random_variables(PaperVerdict(), got, train=False, weight=None)
    mean = reference.sigmoid(want).mean((1, 2))
    np.testing.assert_allclose(
        PaperVerdict().apply(verdict, got, False, None),
        reference.Scope(verdict["params"], None).dense(mean, "logits"),
        rtol=1e-4,
        atol=1e-5,
    )


def test_the_public_head() -> None:
    x = np.random.default_rng(0).standard_normal((2, 3, 3, 5)).astype(np.float32)
    variables = random_variables(PublicMap(), x, size=(8, 8), train=False, weight=None)
    got = jax.jit(lambda v, x: PublicMap().apply(v, x, (8, 8), False, None))(variables, x)
    scope, want = reference.Scope(variables["params"], variables["batch_stats"]), x
    for i in (0, 1):
        want = reference.relu(scope.norm(scope.conv(want, f"conv_{i}"), f"bn_{i}"))
    want = reference.resize_bilinear(scope.conv(want, "conv_2"), (8, 8))
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4)

    xray = np.random.default_rng(1).standard_normal((2, 256, 256, 1)).astype(np.float32)
    verdict = random_variables(PublicVerdict(), xray, train=False, weight=None)
    y = xray.reshape(2, 128, 2, 128, 2).mean((2, 4)).reshape(2, -1)
    scope = reference.Scope(verdict["params"], verdict["batch_stats"])
    for i in (0, 1):
        y = reference.relu(scope.norm(scope.dense(y, f"dense_{i}"), f"bn_{i}"))
    got = jax.jit(lambda v, x: PublicVerdict().apply(v, x, False, None))(verdict, xray)
    np.testing.assert_allclose(got, scope.dense(y, "logits"), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("recipe", ["paper", "public"])
def test_shapes_and_the_heat_map(recipe: Any) -> None:
    model = create_detector("face_xray", recipe=recipe, **SMALL)
    assert isinstance(model, FaceXRay) and model.backbone == "hrnet-w48"
    out = jax.eval_shape(model.apply, abstract_variables(model), tiny.images(model, 2))
    assert out["xray_logits"].shape == (2, 64, 64, 1)
    found = model.heatmaps({"xray_logits": jnp.full((1, 2, 2, 1), -3.0)})["face_xray"]
    assert np.all((found >= 0) & (found < 0.05))


class Fixed:
    """A network's output whatever the images."""

    def __init__(self, **out: Any) -> None:
        self.out = out

    def __call__(self, images: Any, *, key: Any) -> Any:
        return self.out


@pytest.mark.parametrize("kind", ["cross_entropy", "squared_error"])
def test_losses(kind: Any) -> None:
    draw = np.random.default_rng(0)
    found, logits = draw.standard_normal((3, 4, 4, 1)), draw.standard_normal((3, 2))
    labels, weight = np.int32([0, 1, 1]), np.float32([1, 1, 0])
    mask = draw.integers(0, 256, (3, 4, 4)).astype(np.uint8)
    batch = {"image": None, "label": labels, "weight": weight, "mask": mask}
    forward: Any = Fixed(logits=jnp.float32(logits), xray_logits=jnp.float32(found))
    losses = Losses(xray=100.0, xray_kind=kind)
    loss, metrics = losses(forward, batch, jax.random.key(0), jnp.int32(0))
    pixels = []
    for b, i, j in np.ndindex(2, 4, 4):
        m = mask[b, i, j] / 255
        target, z = 4 * m * (1 - m), found[b, i, j, 0]
        p = reference.sigmoid(z)
        entropy = -target * np.log(p) - (1 - target) * np.log(1 - p)
        pixels.append(entropy if kind == "cross_entropy" else (z - target) ** 2)
    verdicts = [np.log(np.exp(logits[b]).sum()) - logits[b, labels[b]] for b in (0, 1)]
    np.testing.assert_allclose(metrics["xray"], np.mean(pixels), rtol=1e-5)
    np.testing.assert_allclose(loss, 100 * np.mean(pixels) + np.mean(verdicts), rtol=1e-5)


def test_a_head_and_a_loss_that_do_not_go_together() -> None:
    config = default_config("public", "face_xray")
    assert config.losses.xray_kind == "squared_error" and config.losses.xray == 1000
    config.losses.xray_kind = "cross_entropy"
    with pytest.raises(ValueError, match=r"'public' is trained with .*'squared_error'"):
        build_objective(config, build_model(config), lambda duration: 1)
