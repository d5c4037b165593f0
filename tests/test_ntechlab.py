"""NTechLab's networks: windows, sequences, mixtures, and files.

`tests/golden/ntechlab.npz` has the logits that efficientnet_pytorch 0.7.1 (Apache-2.0) gave on a
CPU for a small EfficientNet whose expansions were made temporal as in their code @52095ce4
(Apache-2.0), with weights that both sides make (`pattern_fill`), for the middle 48 columns of a
clip of 5 frames.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pattern_fill
import pytest
import tiny

from matnet_jax.config import default_config
from matnet_jax.config.build import build_model
from matnet_jax.detectors.assembly import flatten
from matnet_jax.detectors.ntechlab import Mixup, middle, partners
from matnet_jax.detectors.variables import init_variables
from matnet_jax.model import create_classifier, create_detector
from matnet_jax.pretrained import initialize
from matnet_jax.pretrained.families import recognize

GOLDEN = Path(__file__).parent / "golden" / "ntechlab.npz"
BACKBONE = {key: value for key, value in tiny.FIELDS.items() if key != "image_size"}
FIELDS = BACKBONE | {"window": (64, 48), "image_size": 64}


def test_a_sequence_as_in_pytorch() -> None:
    golden = np.load(GOLDEN)
    shapes = [tuple(map(int, text.split())) for text in golden["shapes"]]
    state = pattern_fill.fill(zip(map(str, golden["names"]), shapes, strict=True))
    weights = recognize(state, Path("snapshot_100000.fp16.pth"))
    assert weights.family == "NTechLab's EfficientNet" and not weights.unexpected
    model = create_detector("ntechlab", recipe="sequence", **FIELDS)
    variables = initialize(model, weights)
    clip = pattern_fill.images(5, 64)[None]
    run = jax.jit(model.apply, compiler_options=tiny.QUICK_COMPILE)
    logits = run(variables, clip).logits
    np.testing.assert_allclose(logits[0, :, 1], golden["logits"], rtol=1e-4)
    assert not logits[..., 0].any()
    # Without neighbours a frame says something else.
    alone = run(variables, clip[0])
    assert np.abs(alone.logits - logits).max() > 1e-3


def test_two_clips_do_not_see_each_other() -> None:
    model = create_detector("ntechlab", recipe="sequence", **FIELDS)
    variables = init_variables(model, 0)
    frames = tiny.images(model, 6)
    run = jax.jit(model.apply, compiler_options=tiny.QUICK_COMPILE)
    both = run(variables, frames.reshape(2, 3, *frames.shape[1:])).logits
    single = [run(variables, frames[None, start : start + 3]).logits for start in (0, 3)]
    np.testing.assert_allclose(both, np.concatenate(single), rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match="images must be"):
        create_detector("ntechlab", **FIELDS).apply(variables, frames[None])


def test_a_network_of_frames_starts_one_of_sequences() -> None:
    plain = create_classifier(**BACKBONE, num_classes=9, image_size=64)
    arrays = {
        path: np.random.default_rng(0).standard_normal(leaf.shape).astype(np.float32)
        for path, leaf in flatten(init_variables(plain, 0)).items()
    }
    model = create_detector("ntechlab", recipe="sequence", **FIELDS)
    adopted = model.adopt(arrays)
    path = "params/features/block_3/expand_conv/kernel"
    assert adopted[path].shape == flatten(init_variables(model, 0))[path].shape
    np.testing.assert_allclose(adopted[path].sum(axis=0), arrays[path][0], rtol=1e-5)
    for kernel in adopted[path]:
        np.testing.assert_array_equal(kernel, adopted[path][0])
    assert create_detector("ntechlab", **FIELDS).adopt(arrays)[path] is arrays[path]


def test_the_window_is_the_middle_mirrored_beyond_the_border() -> None:
    images = jnp.arange(2 * 4 * 4).reshape(2, 4, 4, 1)
    found = middle(images, (6, 2))
    assert found.shape == (2, 6, 2, 1)
    np.testing.assert_array_equal(found[0, :, 0, 0], [5, 1, 5, 9, 13, 9])
    np.testing.assert_array_equal(found[0, 1, :, 0], [1, 2])
    np.testing.assert_array_equal(middle(images[None], (6, 2))[0], found)
    assert middle(images, (4, 4)) is images


def test_each_meets_one_of_the_other_class() -> None:
    labels = np.array([0, 1, 0, 1, 1, 0, 0, 1])
    found = np.asarray(partners(labels, jnp.ones(8)))
    assert sorted(found) == list(range(8))
    assert (labels[found] != labels).all() and (found[found] == np.arange(8)).all()
    weight = jnp.array([1, 1, 1, 0, 1, 0, 0, 1.0])
    found = np.asarray(partners(labels, weight))
    assert found[[3, 5, 6]].tolist() == [3, 5, 6]
    assert not set(found[[0, 1, 2, 4, 7]]) & {3, 5, 6}


def mixed(mixup: float | None) -> Any:
    """What an objective shows a network, and its loss by a network that says what share is fake."""
    labels = np.array([0, 1, 1, 0])
    images = jnp.broadcast_to(jnp.asarray(labels, jnp.float32)[:, None, None, None], (4, 2, 2, 3))
    seen: list[Any] = []

    def forward(shown: Any, *, key: Any) -> Any:
        del key
        seen.append(shown)
        return {"logits": jnp.stack([jnp.zeros(4), jnp.log(shown[:, 0, 0, 0] + 1e-3)], axis=1)}

    batch = {"image": images, "label": jnp.asarray(labels), "weight": jnp.ones(4)}
    loss, _ = Mixup(mixup)(forward, batch, jax.random.key(0), jnp.int32(0))
    return np.asarray(seen[0])[:, 0, 0, 0], float(loss)


def test_the_target_is_the_share_that_is_fake() -> None:
    shares, loss = mixed(0.5)
    assert ((shares >= 0) & (shares <= 1)).all() and len(set(shares.tolist())) == 4
    z = np.log(shares + 1e-3)  # images are 0 where real and 1 where fake: the share itself
    assert loss == pytest.approx((np.log1p(np.exp(z)) - shares * z).mean(), rel=1e-4)
    shares, _ = mixed(None)
    assert shares.tolist() == [0, 1, 1, 0]


@pytest.mark.parametrize("recipe", ["paper", "erasing", "sequence"])
def test_recipes_are_the_three_networks(recipe: str) -> None:
    config = default_config(recipe, "ntechlab")
    model = build_model(config)
    assert model.image_size == (192 if recipe == "paper" else 224)
    assert model.temporal == (recipe == "sequence") and model.window == (224, 192)
    assert config.eval.aggregation == "sharpened_mean" and config.optimizer.nesterov
    with pytest.raises(ValueError, match="temporal needs an EfficientNet, not xception"):
        create_detector("ntechlab", backbone="xception", temporal=True).make_backbone()
