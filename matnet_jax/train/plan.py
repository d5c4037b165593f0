"""The run's lengths, periods and learning rate in steps, from a config's durations."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import optax
from ml_collections import ConfigDict

from matnet_jax.detectors.durations import duration_in_steps
from matnet_jax.train.optim import (
    create_ascent,
    create_optimizer,
    create_schedule,
    frozen_paths,
    stop_frozen,
)


@dataclasses.dataclass(frozen=True)
class Plan:
    """All in steps.

    Attributes:
      steps_per_epoch: of the data.
      batch_size: images a step, for durations in examples.
      total_steps: of the run.
      log_every: period of metrics.
      validate_every: period of validation.
      checkpoint_every: period of checkpoints, beside those that come with a validation.
      learning_rate: over steps.
    """

    steps_per_epoch: int
    batch_size: int
    total_steps: int
    log_every: int
    validate_every: int
    checkpoint_every: int
    learning_rate: optax.Schedule

    def steps(self, duration: str) -> int:
        """A duration in words, such as "5 epochs", in steps of this run."""
        return duration_in_steps(
            duration, steps_per_epoch=self.steps_per_epoch, batch_size=self.batch_size
        )


def build_plan(config: ConfigDict, steps_per_epoch: int) -> Plan:
    """Turns the config's durations into steps."""
    batch_size = config.train.batch_size

    def steps(duration: str) -> int:
        return duration_in_steps(duration, steps_per_epoch=steps_per_epoch, batch_size=batch_size)

    total_steps, optimizer = steps(config.train.duration), config.optimizer
    return Plan(
        steps_per_epoch=steps_per_epoch,
        batch_size=batch_size,
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
            decay_at=tuple(map(steps, optimizer.decay_at)),
            decay_rate=optimizer.decay_rate,
            hold_steps=steps(optimizer.hold),
            final_fraction=optimizer.final_fraction,
            power=optimizer.power,
        ),
    )


def build_optimizer(
    config: ConfigDict, learning_rate: optax.Schedule
) -> optax.GradientTransformation:
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
        nesterov=optimizer.nesterov,
        clip_norm=optimizer.clip_norm,
        freeze=tuple(optimizer.freeze),
        unfreeze=tuple(optimizer.unfreeze),
    )


def build_ascent(config: ConfigDict) -> optax.GradientTransformation | None:
    """The ascent of sharpness-aware minimisation; None without it."""
    optimizer = config.optimizer
    if not optimizer.sam_rho:
        return None
    return create_ascent(
        optimizer.sam_rho,
        freeze=tuple(optimizer.freeze),
        unfreeze=tuple(optimizer.unfreeze),
    )


def frozen_in(config: ConfigDict, params: Any) -> list[str]:
    """Paths of the parameters that do not train."""
    optimizer = config.optimizer
    return frozen_paths(params, tuple(optimizer.freeze), tuple(optimizer.unfreeze))


def build_stop_frozen(config: ConfigDict) -> Callable[[Any], Any]:
    """Parameters as they are, of which the frozen ones have no gradient."""
    freeze, unfreeze = tuple(config.optimizer.freeze), tuple(config.optimizer.unfreeze)
    return lambda params: stop_frozen(params, freeze, unfreeze)
