"""The smallest model that has every part, for tests of the whole network and of the step."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from matnet_jax.detectors.classifier import CrossEntropy
from matnet_jax.detectors.mat.objective import LossOptions, MATObjective
from matnet_jax.model import MAT, PlainClassifier, create_classifier, create_model

SIZE, BATCH = 64, 8
# A step that runs a few times is compiled longer than it runs: halves the compiler's work.
QUICK_COMPILE = {"xla_llvm_disable_expensive_passes": True, "xla_backend_optimization_level": 0}
FIELDS = {
    "backbone": "efficientnet-b0",
    "width_coefficient": 0.25,
    "depth_coefficient": 0.3,
    "image_size": SIZE,
}


def tiny_model(recipe: str = "paper", **overrides: Any) -> Any:
    """MAT of 8 blocks: maps 4×4 (L5), texture features 16×16×8 (L2)."""
    return create_model(recipe, **(FIELDS | {"mid_dims": 8} | overrides))


def tiny_classifier(**overrides: Any) -> Any:
    return create_classifier(**(FIELDS | overrides))


def pixels(batch: int = BATCH, size: int = SIZE, seed: int = 0) -> np.ndarray:
    """uint8 images with structure at several scales."""
    draw = np.random.default_rng(seed)
    coarse = np.kron(draw.uniform(0, 200, (batch, 4, 4, 3)), np.ones((1, size // 4, size // 4, 1)))
    return (coarse + draw.uniform(0, 55, (batch, size, size, 3))).astype(np.uint8)


def images(model: Any, batch: int = BATCH, seed: int = 0) -> jax.Array:
    return model.preprocess.normalize(jnp.asarray(pixels(batch, model.image_size, seed)))


def batch(batch_size: int = BATCH, seed: int = 0, **columns: Any) -> dict[str, np.ndarray]:
    """What the data pipeline gives: labels alternate, nothing has weight 0."""
    return {
        "image": pixels(batch_size, seed=seed),
        "label": (np.arange(batch_size) % 2).astype(np.int32),
        "weight": np.ones(batch_size, np.float32),
        "index": np.arange(batch_size, dtype=np.int32),
    } | columns


def objective(
    model: Any,
    options: Any = None,
    agda: Any = None,
    center_rate: float = 0.05,
    centers_move_twice: bool = False,
) -> MATObjective | CrossEntropy:
    """What a model trains with; a plain classifier with the cross entropy alone."""
    if isinstance(model, PlainClassifier):
        return CrossEntropy()
    return MATObjective(
        losses=options or LossOptions(),
        agda=None if agda is None or agda.mode == "none" else agda,
        center_rate=center_rate if callable(center_rate) else lambda step: center_rate,
        ril_version=model.ril_version,
        move_twice=centers_move_twice,
    )


class _Patches:
    """Stage features without a backbone: fixed projections of image patches, quick to compile."""

    def endpoints(self, images: Any, *, train: bool = False, weight: Any = None) -> Any:
        del train, weight
        return patch_features(images)


class PatchMAT(_Patches, MAT):
    """MAT on patch features: everything but the backbone is real."""


class PatchClassifier(_Patches, PlainClassifier):
    """The plain classifier on patch features."""


def patch_features(images: Any) -> dict[str, jax.Array]:
    """Stages of `tiny_model`'s channels: L2 16×16×8, L5 4×4×32, final 4×4×320."""
    stages = {}
    for name, cells, channels in (("L2", 16, 8), ("L5", 4, 32), ("final", 4, 320)):
        draw = np.random.default_rng(channels)
        side = images.shape[1] // cells
        patches = images.reshape(len(images), cells, side, cells, side, 3)
        flat = patches.transpose(0, 1, 3, 2, 4, 5).reshape(len(images), cells, cells, -1)
        projection = draw.standard_normal((flat.shape[-1], channels)) / np.sqrt(flat.shape[-1])
        stages[name] = jnp.tanh(3 * flat @ projection.astype(np.float32))
    return stages


class StageMAT(MAT):
    """MAT that is fed stage features instead of images."""

    def endpoints(self, images: Any, *, train: bool = False, weight: Any = None) -> Any:
        del train, weight
        return images


def patch_model(model: Any) -> Any:
    """`model` with patch features in place of its backbone."""
    return _as(PatchMAT if isinstance(model, MAT) else PatchClassifier, model)


def stage_model(recipe: str, **overrides: Any) -> StageMAT:
    """The tiny model behind its backbone, without dropout."""
    fields = {"dropout_rate": 0.0, "final_dropout_rate": 0.0} | overrides
    return _as(StageMAT, tiny_model(recipe, **fields))


def stage_features(batch: int = 4) -> dict[str, np.ndarray]:
    """Features of the stages that `stage_model` reads."""
    draw = np.random.default_rng(0)
    shapes = {"L2": (9, 9, 8), "L5": (4, 4, 32), "final": (3, 3, 320)}
    return {k: draw.standard_normal((batch, *s)).astype(np.float32) for k, s in shapes.items()}


def _as(kind: Any, model: Any) -> Any:
    fields = {field.name: getattr(model, field.name) for field in dataclasses.fields(model)}
    return kind(**{k: v for k, v in fields.items() if k not in ("parent", "name")})
