"""The check of a config, before anything is compiled or written: names, types and ranges."""

from __future__ import annotations

import difflib
import functools
from collections.abc import Callable, Iterator
from typing import Any

from ml_collections import ConfigDict

from data_pipeline.training.blend import CHANGES, PAIRS
from matnet_jax.config.data import pair_change, pair_op
from matnet_jax.config.legacy import upgraded
from matnet_jax.config.schema import ConfigError, config_fields, flatten
from matnet_jax.detectors.registry import FAMILIES


def validate(config: ConfigDict) -> ConfigDict:
    """Checks names, types and ranges of all fields.

    Returns:
      The config with the fields of this version; `config` stays as it is.

    Raises:
      ConfigError: with one line for each problem.
    """
    config = upgraded(config)
    problems = list(_problems(config))
    if problems:
        raise ConfigError("the config cannot be run:\n  " + "\n  ".join(problems))
    return config


def _problems(config: ConfigDict) -> Iterator[str]:
    values = dict(flatten(config))
    name = values.get("model.name")
    if name not in FAMILIES:
        yield f"config.model.name is one of {', '.join(FAMILIES)}; got {name!r}"
        return
    recipe = values.get("recipe", "paper")
    if recipe not in FAMILIES[name].recipes:
        yield f"config.recipe is one of {', '.join(FAMILIES[name].recipes)}; got {recipe!r}"
        return
    fields = {field.name: field for field in config_fields(name)}
    built_for = _other_family(values, name)
    if built_for is not None:
        yield (
            f"config.model.name was changed to {name!r} in a config that was built for "
            f"{built_for!r}, whose fields it has: build it for {name!r}, by "
            f"default_config(name={name!r}) or --config=FILE:{name} where the file takes a name"
        )
        return
    for key in values.keys() - fields.keys():
        close = difflib.get_close_matches(key, fields, n=1, cutoff=0.5)
        hint = f"; did you mean config.{close[0]}?" if close else ""
        yield f"there is no field config.{key}{hint}"
    for key in fields.keys() - values.keys():
        yield f"config.{key} is missing; build configs on default_config()"
    for key, field in fields.items():
        problem = field.problem(values[key]) if key in values else None
        if problem is not None:
            yield f"config.{key} {problem}"
    if values.get("train.accumulate") != 1 and values.get("losses.batch_reduction") == "sum":
        yield "config.train.accumulate > 1 needs config.losses.batch_reduction = 'mean'"
    yield from _group_problems(values)
    yield from _pair_problems(config, values)
    if values.get("data.source") == "records" and not values.get("data.dir"):
        yield "config.data.dir is empty; give the folder that data_pipeline.prepare wrote (--out)"


def _other_family(values: dict[str, Any], name: str) -> str | None:
    """Whose fields a config has, where they are exactly those of another family."""
    if values.keys() == {field.name for field in config_fields(name)}:
        return None
    for other in FAMILIES:
        if values.keys() == {field.name for field in config_fields(other)}:
            return other
    return None


def _group_problems(values: dict[str, Any]) -> Iterator[str]:
    group, batch, parts = (
        value if isinstance(value := values.get(field), int) and value >= 1 else None
        for field in ("model.bn_group_size", "train.batch_size", "train.accumulate")
    )
    if group is None or batch is None or parts is None:
        return  # unset, or told already
    if (batch // parts) % group:
        yield (
            f"config.model.bn_group_size = {group} does not divide the {batch // parts} images "
            "computed at once (config.train.batch_size / config.train.accumulate)"
        )


def _pair_problems(config: ConfigDict, values: dict[str, Any]) -> Iterator[str]:
    batch = values.get("train.batch_size")
    if values.get("data.mixture") and isinstance(batch, int) and batch % 2:
        yield f"config.train.batch_size must be even for pairs (config.data.mixture); got {batch}"
    makers: dict[str, Callable[[], object]] = {
        **{name: functools.partial(pair_change, config, name) for name in CHANGES},
        **{kind: functools.partial(pair_op, config, kind, 224) for kind in PAIRS},  # any size
    }
    for section, make in makers.items():
        try:
            make()
        except ValueError as error:
            yield f"config.{section}: {error}"
            if section in CHANGES:
                return  # every kind of pairs has it
        except (AttributeError, KeyError, TypeError):
            pass  # a missing section, or a value of another type: told already
