"""Configs as they are made: all fields of a family and of a run, with a recipe's values.

What fields there are is said by dataclasses: of the family (`matnet_jax.detectors.registry`), and
of every run (`matnet_jax.config.sections`).
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator, Mapping
from typing import Any

from ml_collections import ConfigDict
from ml_collections.config_dict import placeholder

from data_pipeline.training.blend import PAIRS, option_names
from matnet_jax.config.sections import AFTER, BEFORE, Run
from matnet_jax.detectors.base import Family
from matnet_jax.detectors.fields import Field, declared_fields
from matnet_jax.detectors.registry import FAMILIES

OWN_MODEL_FIELDS = ("backbone", "dtype")
"""Fields of the model whose default a config names; the others are None, for the recipe's or the
backbone's own value, which may differ from network to network."""


OLD_KEY = "kind"
"""What ``config.model.name`` was in version 0.1; `matnet_jax.config.legacy` reads it."""


class ConfigError(ValueError):
    """A config that cannot be run; the message lists everything that is wrong with it."""


def default_config(recipe: str = "paper", name: str = "mat") -> ConfigDict:
    """All fields, with the recipe's values.

    Args:
      recipe: ``paper``: what the paper's text says; where it is silent (length of training,
        validation, augmentation on the host), ours. ``released``: what the authors' code does.
      name: of the family of detectors.

    Raises:
      ConfigError: for an unknown recipe or family.
    """
    family = known_family(name)
    if recipe not in family.recipes:
        raise ConfigError(f"recipe is one of {', '.join(family.recipes)}; got {recipe!r}")
    values = {
        f"{section}.{field}": value
        for section, fields in family.recipes[recipe].items()
        for field, value in fields.items()
        if section != "model" or field in OWN_MODEL_FIELDS  # None of others: the recipe's own
    }
    config = ConfigDict()
    for field in config_fields(name):
        value = values.get(field.name, field.default)
        if field.optional:
            set_field(config, field.name, placeholder(field.kind))
        if not field.optional or value is not None:
            set_field(config, field.name, value)
    config.recipe = recipe
    config.model[OLD_KEY] = placeholder(str)  # config files of version 0.1 set it
    return config.lock()


def set_field(config: ConfigDict, name: str, value: Any) -> None:
    """Sets a field by its dotted name, in a section that is made where it is not there."""
    *path, last = name.split(".")
    for part in path:
        if part not in config:
            config[part] = ConfigDict()
        config = config[part]
    config[last] = value


def known_family(name: str) -> Family:
    """The family of that name.

    Raises:
      ConfigError: there is none.
    """
    if name not in FAMILIES:
        raise ConfigError(f"config.model.name is one of {', '.join(FAMILIES)}; got {name!r}")
    return FAMILIES[name]


@functools.cache
def config_fields(name: str) -> tuple[Field, ...]:
    """The fields of a family's config, in order."""
    family = FAMILIES[name]
    model = [
        dataclasses.replace(field, optional=True, default=None)
        if field.name.removeprefix("model.") not in OWN_MODEL_FIELDS
        else field
        for field in fields_of(family.model, "model.")
    ]
    sections = {**BEFORE, **family.sections, **AFTER}
    return (
        *fields_of(Run, ""),
        Field("model.name", str, False, name),
        *model,
        *(field for key, kind in sections.items() for field in fields_of(kind, f"{key}.")),
    )


def fields_of(kind: type, prefix: str) -> Iterator[Field]:
    """The fields of a dataclass that a config sets; of what makes pairs, its options."""
    options = option_names(kind) if kind in PAIRS.values() else None
    for field in declared_fields(kind):
        if not field.derived and (options is None or field.name in options):
            yield dataclasses.replace(field, name=f"{prefix}{field.name}")


def changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, str]:
    """The fields that differ between two configs (as JSON values), with a line about each."""
    old, new = dict(flatten(before)), dict(flatten(after))
    return {
        field: f"config.{field}: {old.get(field)!r} before, {new.get(field)!r} now"
        for field in sorted(old | new)
        if old.get(field) != new.get(field)
    }


def adopt_model_fields(config: ConfigDict, trained: Mapping[str, Any]) -> ConfigDict:
    """A copy of `config` whose None fields of the model have the values of a `trained` config.

    A run that started from foreign weights has in its config what they brought, such as the mean of
    pixels; whoever reads its checkpoints need not repeat that.
    """
    config = config.copy_and_resolve_references()
    for name, value in trained["model"].items():
        if value is not None and name in config.model and config.model[name] is None:
            config.model[name] = tuple(value) if isinstance(value, list) else value
    return config


def flatten(config: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Pairs of a dotted field name and its value, tuples as lists."""
    for name in config:
        value = config[name]
        if isinstance(value, (Mapping, ConfigDict)):
            yield from flatten(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", list(value) if isinstance(value, tuple) else value
