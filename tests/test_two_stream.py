"""Two-stream: patches, triplets and the mean of both streams, by hand."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny
from families import TINY
from test_cooccurrence import features_in_numpy

from matnet_jax.detectors.registry import FAMILIES
from matnet_jax.detectors.two_stream import triplets
from matnet_jax.detectors.variables import init_variables
from matnet_jax.model import create_detector
from matnet_jax.nn.losses import hinge, triplet


def made(**fields: Any) -> Any:
    return create_detector(
        "two_stream", **(TINY["two_stream"] | {"image_size": tiny.SIZE} | fields)
    )


def test_patches_are_those_of_the_pixels() -> None:
    """Each of each colour, as the loops have it; normalising and back loses no pixel."""
    model = made(patch_stride=16, quantum=2.0)
    images = tiny.images(model, 2)
    found = model.apply({}, images, method="patch_features")
    assert found.shape == (2, 3, 3, 486)
    pixels = tiny.pixels(2).astype(int)
    for row, column, colour in ((0, 0, 0), (2, 1, 2)):
        patch = pixels[1, 16 * row : 16 * row + 32, 16 * column : 16 * column + 32, colour]
        want = 81 * features_in_numpy(patch, 2)
        np.testing.assert_allclose(
            found[1, row, column, 162 * colour : 162 * (colour + 1)], want, rtol=1e-6
        )


def test_the_score_is_the_mean_of_both_streams() -> None:
    model = made()
    variables = init_variables(model, 0)
    out = model.apply(variables, tiny.images(model, 4))
    face = jax.nn.softmax(out["face_logits"])[:, 1]
    patches = jax.nn.sigmoid(out["patch_margins"]).mean((1, 2))
    np.testing.assert_allclose(model.score(out), (face + patches) / 2, rtol=1e-5)
    lengths = np.linalg.norm(out["patch_embeddings"], axis=-1)
    np.testing.assert_allclose(lengths, 1, rtol=1e-5)
    assert set(model.heatmaps(out)) == {"class_activation", "patches"}
    alone = made(streams="face")
    variables = init_variables(alone, 0)
    assert set(variables["params"]) == {"features", "head"}
    out = alone.apply(variables, tiny.images(alone, 4))
    np.testing.assert_array_equal(out["logits"], out["face_logits"])
    assert set(alone.heatmaps(out)) == {"class_activation"}


def test_losses_by_hand() -> None:
    anchor, near, far = np.eye(3, dtype=np.float32)[:, None]
    np.testing.assert_allclose(triplet(anchor, anchor, far, 0.04), [0])
    np.testing.assert_allclose(triplet(anchor, near, far, 0.04), [0.04], rtol=1e-6)
    np.testing.assert_allclose(triplet(anchor, near, anchor, 0.5), [2.5])
    margins, labels = np.float32([2, 0.5, -1, -2]), np.array([1, 1, 1, 0])
    np.testing.assert_allclose(hinge(margins, labels), [0, 0.5, 2, 0])


def test_a_triplet_is_two_patches_of_an_image_and_one_of_another_that_counts() -> None:
    """Embeddings that name image and patch: distances then say which were drawn."""
    images, count = 4, 5
    patches = np.zeros((images, count, images + count), np.float32)
    for i, p in np.ndindex(images, count):
        patches[i, p, [i, images + p]] = 10.0 * (i + 1), 1.0
    weight = np.float32([1, 1, 0, 1])
    for seed in range(20):
        of_images, counts = triplets(patches, weight, 0.0, jax.random.key(seed))
        # A pair is never the anchor itself, or its distance were 0 and the loss less than 2.
        np.testing.assert_array_equal(of_images, 0)
        np.testing.assert_array_equal(counts, weight)
    # Image 2 left out, its patches alone would be near image 1's: it is never drawn.
    patches[2] = patches[1] + 1e-3
    for seed in range(20):
        of_images, _ = triplets(patches, weight, 0.0, jax.random.key(seed))
        np.testing.assert_array_equal(of_images[:2], 0)
    _, counts = triplets(patches, np.float32([0, 1, 0, 0]), 0.0, jax.random.key(0))
    np.testing.assert_array_equal(counts, 0)


def test_the_machine_leaves_the_embedding_alone() -> None:
    model = made()
    variables = init_variables(model, 0)
    images = tiny.images(model, 2)

    def margins(params: Any) -> Any:
        out = model.apply({**variables, "params": params}, images)
        return jnp.sum(out["patch_margins"])

    gradient = jax.grad(margins)(variables["params"])
    for name, tree in gradient.items():
        moved = any(np.any(leaf) for leaf in jax.tree.leaves(tree))
        assert moved == (name == "svm"), name


def test_too_few_patches_are_said() -> None:
    family = FAMILIES["two_stream"]
    with pytest.raises(ValueError, match="hold no two patches of 64, 32 apart"):
        family.check(made(patch_size=64))
    family.check(made(patch_size=64, streams="face"))
    model = made(patch_size=65)
    with pytest.raises(ValueError, match="64×64 pixels hold no patch of 65"):
        model.apply({}, tiny.images(model, 1), method="patch_features")
