"""From a checked config to the objects of a run. Below these, values are passed, not configs."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

import jax.numpy as jnp
from ml_collections import ConfigDict

from matnet_jax.config.legacy import upgraded
from matnet_jax.config.schema import (
    OLD_KEY,
    ConfigError,
    default_config,
    flatten,
    known_family,
)
from matnet_jax.detectors.base import Detector, Objective, Steps


def build_model(config: ConfigDict) -> Detector:
    """The network of ``config.model``; fields that are None are left to the recipe.

    Raises:
      ConfigError: for a value that the network refuses, or an image too small for it.
    """
    config = upgraded(config)
    with _as_config_error():
        model = _make(config)
        known_family(config.model.name).check(model, **family_sections(config))
    return model


@contextlib.contextmanager
def _as_config_error() -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        raise ConfigError(f"config.model: {error}") from error


def _make(config: ConfigDict) -> Detector:
    family = known_family(config.model.name)
    fields = {name: value for name, value in _tuples(config.model).items() if value is not None}
    del fields["name"]
    fields["dtype"] = jnp.dtype(fields["dtype"])
    if hasattr(family.model, "remat"):
        fields["remat"] = config.train.get("remat", False)  # older checkpoints' configs have none
    return family.make(config.recipe, **fields, **family.derive(**family_sections(config)))


def build_objective(config: ConfigDict, model: Detector, steps: Steps) -> Objective:
    """What the network is trained with.

    Args:
      config: of the run.
      model: of `build_model`.
      steps: turns a duration in words into steps of the run.
    """
    family = known_family(config.model.name)
    return family.make_objective(model, steps, **family_sections(config))


def family_sections(config: ConfigDict) -> dict[str, Any]:
    """The family's own sections of a config as its dataclasses, by name."""
    family = known_family(config.model.name)
    # Older checkpoints' configs have not every section: its defaults mean what was before.
    return {name: kind(**_tuples(config.get(name, {}))) for name, kind in family.sections.items()}


def fields_read(config: ConfigDict) -> tuple[str, ...]:
    """What of an example training needs beside image and label."""
    return known_family(config.model.name).needs(**family_sections(config))


def resolved(config: ConfigDict) -> dict[str, Any]:
    """``config.model`` with every field's value, as JSON values: None only where a network has it.

    Args:
      config: in today's names, as `upgraded` gives it.

    Raises:
      ConfigError: as in `build_model`.
    """
    with _as_config_error():
        model = _make(config)
    return {name: _json(name, config, model) for name in config.model}


def comparable(config: Mapping[str, Any] | ConfigDict) -> dict[str, Any]:
    """A config by dotted field, in today's names, for `changes`.

    None in ``config.model`` and the value that it stands for are the same, and a field that an
    older version did not have counts as its default.

    Raises:
      ConfigError: as in `build_model`.
    """
    config = upgraded(config)
    defaults = dict(flatten(default_config(config.recipe, config.model.name)))
    defaults.pop(f"model.{OLD_KEY}")
    values = defaults | dict(flatten(config))
    return values | {f"model.{name}": value for name, value in resolved(config).items()}


def _json(name: str, config: ConfigDict, model: Detector) -> Any:
    value = config.model[name] if name in ("name", "dtype") else getattr(model, name)
    return list(value) if isinstance(value, tuple) else value


def _tuples(config: Mapping[str, Any]) -> dict[str, Any]:
    return {k: tuple(v) if isinstance(v, (list, tuple)) else v for k, v in config.items()}
