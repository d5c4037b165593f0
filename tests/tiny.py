"""The smallest model that has every part, for tests of the whole network and of the step."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from matnet_jax.model import create_classifier, create_model

SIZE, BATCH = 64, 8
FIELDS = {
    "backbone": "efficientnet-b0",
    "width_coefficient": 0.25,
    "depth_coefficient": 0.3,
    "image_size": SIZE,
}


def tiny_model(recipe: str = "paper", **overrides):
    """MAT of 8 blocks: maps 4×4 (L5), texture features 16×16×8 (L2)."""
    return create_model(recipe, **(FIELDS | {"mid_dims": 8} | overrides))


def tiny_classifier(**overrides):
    return create_classifier(**(FIELDS | overrides))


def pixels(batch: int = BATCH, size: int = SIZE, seed: int = 0) -> np.ndarray:
    """uint8 images with structure at several scales."""
    draw = np.random.default_rng(seed)
    coarse = np.kron(draw.uniform(0, 200, (batch, 4, 4, 3)), np.ones((1, size // 4, size // 4, 1)))
    return (coarse + draw.uniform(0, 55, (batch, size, size, 3))).astype(np.uint8)


def images(model, batch: int = BATCH, seed: int = 0) -> jax.Array:
    return model.preprocess.normalize(jnp.asarray(pixels(batch, model.image_size, seed)))


def batch(batch_size: int = BATCH, seed: int = 0, **columns) -> dict[str, np.ndarray]:
    """What the data pipeline gives: labels alternate, nothing is masked."""
    return {
        "image": pixels(batch_size, seed=seed),
        "label": (np.arange(batch_size) % 2).astype(np.int32),
        "mask": np.ones(batch_size, np.float32),
        "index": np.arange(batch_size, dtype=np.int32),
    } | columns
