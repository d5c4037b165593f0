"""Configs of older versions, and of another family, in today's names."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Mapping
from typing import Any

from ml_collections import ConfigDict

from matnet_jax.config.schema import OLD_KEY, config_fields, default_config, flatten, set_field

_OLD_FAMILY = "mat"
"""Whose fields version 0.1's configs had, whatever their kind."""


def upgraded(config: Mapping[str, Any] | ConfigDict) -> ConfigDict:
    """A copy of a config, or of one as JSON values, with today's names.

    ``config.model.kind`` of version 0.1 chose the family; a warning says once that it is
    ``config.model.name`` now. A field that its family has not stays, for `validate` to name it.

    Raises:
      ConfigError: an unknown family or recipe.
    """
    config = config if isinstance(config, ConfigDict) else ConfigDict(config)
    model = config.get("model", ConfigDict())
    kind = model.get(OLD_KEY)
    if kind is not None or "name" not in model:
        _say_once()
        return with_family(config, kind or _OLD_FAMILY)
    config = config.copy_and_resolve_references()
    with config.unlocked(), config.ignore_type():
        if OLD_KEY in config.model:
            del config.model[OLD_KEY]
        for key, value in flatten(config):
            if isinstance(value, list):  # as JSON has tuples
                set_field(config, key, tuple(value))
    return config


def with_family(config: ConfigDict, name: str) -> ConfigDict:
    """A config of another family with the values of the fields that both have.

    Raises:
      ConfigError: an unknown family, or one that has not the config's recipe.
    """
    recipe = config.get("recipe", "paper")
    made = default_config(recipe, name)
    own = {field.name for field in config_fields(name)}
    source = config.get("model", ConfigDict()).get("name", _OLD_FAMILY)
    # Its defaults are not the other family's, and say nothing.
    unchosen = dict(flatten(default_config(recipe, source)))
    left = {field.name for field in config_fields(source)} - own
    left |= {"model.name", f"model.{OLD_KEY}"}
    with made.unlocked(), made.ignore_type():
        del made.model[OLD_KEY]
        for key, value in flatten(config):
            if key not in left and (key not in unchosen or value != unchosen[key]):
                set_field(made, key, tuple(value) if isinstance(value, list) else value)
    return made


@functools.cache
def _say_once() -> None:
    warnings.warn(
        "config.model.kind of older configs is config.model.name now; it is read as it was meant",
        stacklevel=4,
    )
