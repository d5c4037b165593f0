"""Tiny networks of every family, and a step of their training, for tests."""

from __future__ import annotations

import functools
from typing import Any

import jax
import numpy as np
import optax
import tiny

from matnet_jax.config import default_config
from matnet_jax.config.build import build_model, build_objective, fields_read
from matnet_jax.config.check import validate
from matnet_jax.runtime.sharding import (
    batch_sharded,
    data_mesh,
    global_batch,
    replicate,
    replicated,
)
from matnet_jax.train.state import create_train_state
from matnet_jax.train.step import make_train_step

BACKBONE = {"backbone": "efficientnet-b0", "width_coefficient": 0.25, "depth_coefficient": 0.1}
RESNET = {"width_coefficient": 0.05, "depth_coefficient": 0.1}
VIT = {"backbone": "clip-vit-b-16", "width_coefficient": 0.15, "depth_coefficient": 0.1}
XCEPTION = {"width_coefficient": 0.02, "middle_blocks": 0}
TINY = {
    "mat": BACKBONE | {"mid_dims": 8},
    "classifier": BACKBONE,
    "f3net": XCEPTION,
    "face_xray": {"backbone": "resnet-50", **RESNET},
    "fwa": RESNET,
    "dsp_fwa": BACKBONE,
    "capsule_v2": {"num_capsules": 3},
    "wsdan": BACKBONE | {"num_attentions": 3},
    "eighteen_years_old": RESNET,
    "medics": RESNET,
    "ntechlab": BACKBONE | {"window": (64, 48)},
    "xception_ela": BACKBONE,
    "xception_pafilters": BACKBONE,
    "gend": VIT,
    "effort": VIT,
    "qtfp": VIT,
    "two_branch": RESNET | {"memory": 4, "feature": 8},
    "two_stream": BACKBONE | {"patch_size": 32, "patch_stride": 32, "hidden": 16, "embedding": 8},
}
"""Fields that make a family's network small; one that is not here is so by default."""


def config_of(name: Any, **values: Any) -> Any:
    config = default_config(name=name)
    fields = {"model.image_size": tiny.SIZE, "data.source": "synthetic", "data.real_repeat": 1}
    fields |= {"data.synthetic_identities": 2, "train.batch_size": 8, "validation.batch_size": 8}
    fields |= {"train.duration": "2 steps", "validation.every": "2 steps"}
    fields |= {f"model.{key}": value for key, value in TINY.get(name, {}).items()}
    config.update_from_flattened_dict(fields | values)
    validate(config)
    return config


def batch_of(name: Any, size: int = 8) -> Any:
    """What a family reads; two of eight examples do not count."""
    batch = tiny.batch(size, weight=np.array([1, 1, 1, 0, 1, 1, 0, 1], np.float32))
    if "mask" in fields_read(config_of(name)):
        batch["mask"] = np.where(batch["label"][:, None, None], tiny.pixels(size)[..., 0], 0)
    return batch


def made(name: Any, **values: Any) -> Any:
    """A tiny model and its objective."""
    config = config_of(name, **values)
    model = build_model(config)
    return model, build_objective(config, model, lambda duration: 10)


def one_step(name: Any, batch: Any, devices: Any, **values: Any) -> Any:
    """State and metrics after the first step."""
    mesh = data_mesh(devices)
    start, run = step_of(name, len(devices), **values)
    key = replicate(jax.random.key(0), mesh)
    return jax.device_get(run(start, global_batch(batch, mesh), key))


@functools.lru_cache(maxsize=2)  # a family's on one device and on eight
def step_of(name: Any, devices: int, **values: Any) -> Any:
    """The state at the start, and the step on so many devices."""
    mesh = data_mesh(jax.devices()[:devices])
    (model, objective), tx = made(name, **values), optax.sgd(0.05)
    run = jax.jit(
        make_train_step(model, objective, tx),
        in_shardings=(replicated(mesh), batch_sharded(mesh), replicated(mesh)),
        out_shardings=replicated(mesh),
    )
    return replicate(create_train_state(model, tx, 0), mesh), run
