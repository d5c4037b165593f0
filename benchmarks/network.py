"""What several benchmarks compile: MAT's inference and its whole training step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags
from jax.sharding import Mesh

from benchmarks.settings import settings
from matnet_jax.config import default_config
from matnet_jax.config.build import build_objective
from matnet_jax.detectors.base import Detector
from matnet_jax.detectors.inference import infer
from matnet_jax.model import MAT, create_model
from matnet_jax.runtime.parts import images_at_once, in_parts
from matnet_jax.runtime.sharding import batch_sharded, global_batch, replicate, replicated
from matnet_jax.train.plan import build_optimizer
from matnet_jax.train.state import create_train_state
from matnet_jax.train.step import make_train_step


def model_from_flags(**overrides: Any) -> MAT:
    """The network as the flags say."""
    fields = settings() | overrides
    del fields["batch_size"]
    return create_model(fields.pop("recipe"), **fields | {"dtype": jnp.dtype(fields["dtype"])})


class Program(NamedTuple):
    """A compiled program, and a call of it that waits for its results."""

    compiled: Any
    call: Callable[[], None]


def programs(mesh: Mesh, *parts: str) -> dict[str, Program]:
    """Of "forward" and "train_step" those that are asked for, of the flags' network and recipe."""
    model, recipe = model_from_flags(), flags.FLAGS.recipe
    images = global_batch(batch(flags.FLAGS.batch_size, model.image_size), mesh)
    state, key = replicate((initial_state(model, recipe), jax.random.key(0)), mesh)

    def forward() -> Program:
        compiled = inference(model).lower(state.variables, images["image"]).compile()
        return Program(
            compiled, lambda: jax.block_until_ready(compiled(state.variables, images["image"]))
        )

    def train_step() -> Program:
        compiled = training_step(model, mesh, recipe).lower(state, images, key).compile()

        def call() -> None:
            nonlocal state
            state, metrics = compiled(state, images, key)
            jax.block_until_ready(metrics)

        return Program(compiled, call)

    made = {"forward": forward, "train_step": train_step}
    return {part: made[part]() for part in parts}


def training_step(model: MAT, mesh: Mesh, recipe: str = "paper") -> Any:
    """A recipe's step with AGDA, jitted: (state, batch, key) -> (state, metrics)."""
    objective = build_objective(default_config(recipe, "mat"), model, lambda duration: 1000)
    step = make_train_step(model, objective, _optimizer(recipe))
    return jax.jit(
        step,
        donate_argnums=0,
        in_shardings=(replicated(mesh), batch_sharded(mesh), replicated(mesh)),
        out_shardings=replicated(mesh),
    )


def inference(model: MAT) -> Any:
    """Jitted: (variables, uint8 pixels) -> the probability of a forgery [B]."""

    def score(variables: Any, pixels: Any) -> Any:
        out: Any = model.apply(variables, model.preprocess.normalize(pixels), train=False)
        return jax.nn.softmax(out.logits.astype(jnp.float32))[:, 1]

    return jax.jit(score)


def scorer(
    model: Detector, variables: Any, *, batch_size: int
) -> Callable[[np.ndarray], tuple[Any, Any]]:
    """Up to a batch of uint8 crops -> scores and heat maps, as prediction computes them by JAX."""
    own, arrays = model.merged(variables)
    arrays = jax.device_put(arrays)
    step = jax.jit(lambda v, x: infer(own, v, own.preprocess.normalize(x))[:2])
    size = images_at_once(batch_size, frames=model.clip_length)
    return in_parts(lambda crops: step(arrays, crops), size, pad=True)


def initial_state(model: MAT, recipe: str = "paper") -> Any:
    """The step's first argument, of seed 0."""
    return create_train_state(model, _optimizer(recipe), 0)


def _optimizer(recipe: str) -> Any:
    config = default_config(recipe, "mat")
    return build_optimizer(config, config.optimizer.learning_rate)


def batch(size: int, image_size: int) -> dict[str, np.ndarray]:
    """Random pixels with alternating labels; as in training, none has a weight."""
    draw = np.random.default_rng(0)
    return {
        "image": draw.integers(0, 256, (size, image_size, image_size, 3), np.uint8),
        "label": (np.arange(size) % 2).astype(np.int32),
    }


def abstract(tree: Any) -> Any:
    """The shapes alone, to compile without arrays."""
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), tree)
