"""From a checked config to the objects of a run. Below these, values are passed, not configs."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from ml_collections import ConfigDict

from matnet_jax.config.schema import ConfigError
from matnet_jax.detectors.mat.agda import AGDAOptions
from matnet_jax.model import MAT, PlainClassifier, create_classifier, create_model
from matnet_jax.train.optim import create_optimizer, create_schedule, duration_in_steps
from matnet_jax.train.step import LossOptions


def build_model(config: ConfigDict) -> MAT | PlainClassifier:
    """The network of ``config.model``; fields that are None are left to the recipe.

    Raises:
      ConfigError: for a value that the network refuses, or an image too small for it.
    """
    fields = {name: value for name, value in _tuples(config.model).items() if value is not None}
    fields["remat"] = config.train.get("remat", False)  # older checkpoints' configs have none
    fields["dtype"] = jnp.dtype(fields["dtype"])
    kind = fields.pop("kind")
    try:
        if kind == "classifier":
            fields.pop("num_attentions")  # has a default in every config
            return create_classifier(**fields)
        model = create_model(config.recipe, ams=config.losses.auxiliary == "ams", **fields)
    except ValueError as error:
        raise ConfigError(f"config.model: {error}") from error
    _check_image_size(model, build_agda(config))
    return model


def _check_image_size(model: MAT, agda: AGDAOptions | None) -> None:
    size = model.image_size
    images = jax.ShapeDtypeStruct((1, size, size, 3), jnp.float32)
    out = jax.eval_shape(lambda x: model.init_with_output(jax.random.key(0), x)[0], images)
    height, width = out.attention_maps.shape[1:3]
    if min(height, width) < 2:
        raise ConfigError(
            f"config.model.image_size = {size} is too small: attention maps of {height}×{width} "
            f"cells at stage {model.attention_stage} cannot tell regions apart; take a larger image"
            " or an earlier attention_stage"
        )
    if agda is not None and int(size * agda.scale) <= agda.kernel_size // 2:
        raise ConfigError(
            f"config.model.image_size = {size} is too small for AGDA: its small image, "
            f"{int(size * agda.scale)} pixels (config.agda.scale = {agda.scale}), must be larger "
            f"than half the blur's kernel, {agda.kernel_size // 2} (config.agda.kernel_size)"
        )


def build_losses(config: ConfigDict) -> LossOptions:
    """Loss weights and margins."""
    fields = _tuples(config.losses)
    if config.model.kind == "classifier":
        fields["auxiliary"] = "none"  # has no attention maps to keep apart
    return LossOptions(**fields)


def build_agda(config: ConfigDict) -> AGDAOptions | None:
    """Options of the second pass, None where there is none."""
    if config.agda.mode == "none" or config.model.kind == "classifier":
        return None
    return AGDAOptions(**_tuples(config.agda))


def _tuples(config: ConfigDict) -> dict[str, Any]:
    return {k: tuple(v) if isinstance(v, (list, tuple)) else v for k, v in config.items()}


@dataclasses.dataclass(frozen=True)
class Plan:
    """The run's lengths and periods in steps, its learning rate and center rate over steps."""

    steps_per_epoch: int
    total_steps: int
    log_every: int
    validate_every: int
    checkpoint_every: int
    learning_rate: optax.Schedule
    center_rate: Callable[[jax.typing.ArrayLike], jax.Array]


def build_plan(config: ConfigDict, steps_per_epoch: int) -> Plan:
    """Turns the config's durations into steps."""

    def steps(duration: str) -> int:
        return duration_in_steps(
            duration, steps_per_epoch=steps_per_epoch, batch_size=config.train.batch_size
        )

    total_steps = steps(config.train.duration)
    optimizer, centers = config.optimizer, config.centers
    return Plan(
        steps_per_epoch=steps_per_epoch,
        total_steps=total_steps,
        log_every=steps(config.train.log_every),
        validate_every=steps(config.validation.every),
        checkpoint_every=steps(config.checkpoint.every),
        learning_rate=create_schedule(
            optimizer.schedule,
            optimizer.learning_rate,
            total_steps=total_steps,
            warmup_steps=steps(optimizer.warmup),
            decay_steps=steps(optimizer.decay_every),
            decay_rate=optimizer.decay_rate,
            final_fraction=optimizer.final_fraction,
        ),
        # A function of the step inside the compiled step: its decay compiles nothing again.
        center_rate=create_schedule(
            "step",
            centers.rate,
            total_steps=total_steps,
            decay_steps=steps(centers.decay_every),
            decay_rate=centers.decay_rate,
        ),
    )


def build_optimizer(config: ConfigDict, learning_rate: optax.Schedule) -> Any:
    """The optimiser with the given learning rate over steps."""
    optimizer = config.optimizer
    return create_optimizer(
        optimizer.name,
        learning_rate,
        weight_decay=optimizer.weight_decay,
        b1=optimizer.b1,
        b2=optimizer.b2,
        eps=optimizer.eps,
        momentum=optimizer.momentum,
        clip_norm=optimizer.clip_norm,
        freeze=tuple(optimizer.freeze),
    )
