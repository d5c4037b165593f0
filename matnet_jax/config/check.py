"""The check of a config, before anything is compiled or written: names, types and ranges."""

import difflib
import math
import numbers
from collections.abc import Callable, Iterator
from typing import Any

from ml_collections import ConfigDict

from data_pipeline.training.disturb import DISTURBANCES
from matnet_jax.config.schema import RECIPES, ConfigError, default_config, flatten
from matnet_jax.detectors.mat.agda import MODES
from matnet_jax.metrics.videos import AGGREGATIONS
from matnet_jax.train.optim import OPTIMIZERS, SCHEDULES, duration_in_steps


def validate(config: ConfigDict) -> None:
    """Checks names, types and ranges of all fields.

    Raises:
      ConfigError: with one line for each problem.
    """
    problems = list(_problems(config))
    if problems:
        raise ConfigError("the config cannot be run:\n  " + "\n  ".join(problems))


Check = tuple[Callable[[Any], bool], str]

_POSITIVE: Check = (lambda v: v > 0, "above 0")
_COUNT: Check = (lambda v: v >= 1, "at least 1")
_NOT_NEGATIVE: Check = (lambda v: v >= 0, "at least 0")
_FRACTION: Check = (lambda v: 0 <= v <= 1, "from 0 to 1")
_RATE: Check = (lambda v: 0 <= v < 1, "at least 0 and below 1")


def _one_of(*values: str) -> Check:
    return (lambda v: v in values, "one of " + ", ".join(values))


def _is_duration(value: str) -> bool:
    try:
        duration_in_steps(value, steps_per_epoch=1, batch_size=1)
    except ValueError:
        return False
    return True


def _is_positive_duration(value: str) -> bool:
    return _is_duration(value) and duration_in_steps(value, steps_per_epoch=1, batch_size=1) > 0


def _is_weight(text: Any) -> bool:
    try:
        subset, _, weight = text.rpartition("=")
        return bool(subset) and 0 <= float(weight) < math.inf
    except (AttributeError, ValueError):
        return False


_DURATION: Check = (_is_duration, "a number and a unit, such as '10 epochs' or '500 steps'")
_POSITIVE_DURATION: Check = (_is_positive_duration, "above 0, such as '10 epochs' or '500 steps'")

_CHECKS: dict[str, Check] = {
    "seed": (lambda v: 0 <= v < 2**32, "from 0 to 4294967295"),
    "model.kind": _one_of("mat", "classifier"),
    "model.num_attentions": _COUNT,
    "model.image_size": (lambda v: v >= 32, "at least 32 pixels"),
    "model.dtype": _one_of("float32", "bfloat16"),
    "model.nominal_size": _COUNT,
    "model.width_coefficient": _POSITIVE,
    "model.depth_coefficient": _POSITIVE,
    "model.stochastic_depth_rate": _RATE,
    "model.batch_norm_momentum": _RATE,
    "model.batch_norm_epsilon": _POSITIVE,
    "model.bn_group_size": _COUNT,
    "model.mid_dims": _COUNT,
    "model.dropout_rate": _RATE,
    "model.final_dropout_rate": _RATE,
    "model.mean": (lambda v: len(v) == 3, "three numbers, of pixels in [0, 1]"),
    "model.std": (lambda v: len(v) == 3 and min(v) > 0, "three numbers above 0"),
    "losses.cross_entropy": _NOT_NEGATIVE,
    "losses.auxiliary": _one_of("ril", "ams", "none"),
    "losses.auxiliary_weight": _NOT_NEGATIVE,
    "losses.augmented": _NOT_NEGATIVE,
    "losses.match": _NOT_NEGATIVE,
    "losses.inner_margin": (lambda v: len(v) == 2, "two numbers: for real, for fake"),
    "losses.batch_reduction": _one_of("mean", "sum"),
    "losses.label_smoothing": _RATE,
    "losses.ams_scale": _POSITIVE,
    "losses.ams_margin": _NOT_NEGATIVE,
    "agda.mode": _one_of(*MODES),
    "agda.scale": (lambda v: 0 < v <= 1, "above 0, at most 1"),
    "agda.kernel_size": (lambda v: v >= 1 and v % 2 == 1, "odd, at least 1"),
    "agda.sigma": _POSITIVE,
    "agda.noise": _NOT_NEGATIVE,
    "agda.threshold": (lambda v: len(v) == 2 and 0 <= v[0] <= v[1] <= 1, "two of 0 to 1, rising"),
    "agda.zoom": (lambda v: len(v) == 2 and 0 < v[0] <= v[1], "two above 0, rising"),
    "agda.choice": _one_of("uniform", "weighted"),
    "centers.rate": _FRACTION,
    "centers.decay_rate": (lambda v: 0 < v <= 1, "above 0, at most 1"),
    "centers.decay_every": _POSITIVE_DURATION,
    "data.source": _one_of("records", "synthetic"),
    "data.ops": _one_of("none", "flip", "standard", "strong"),
    "data.real_repeat": _COUNT,
    "data.balance": _one_of("repeat", "batch"),
    "data.frames_per_video": _COUNT,
    "data.group_weights": (
        lambda v: all(_is_weight(text) for text in v),
        "of texts such as 'Deepfakes=2': a subset and a number, at least 0",
    ),
    "data.synthetic_seed": _NOT_NEGATIVE,
    "data.synthetic_identities": _COUNT,
    "train.batch_size": _COUNT,
    "train.duration": _POSITIVE_DURATION,
    "train.log_every": _POSITIVE_DURATION,
    "train.accumulate": _COUNT,
    "train.on_nonfinite": _one_of("stop", "skip"),
    "train.hang_seconds": _POSITIVE,
    "train.ema_decay": _RATE,
    "optimizer.name": _one_of(*OPTIMIZERS),
    "optimizer.learning_rate": _POSITIVE,
    "optimizer.weight_decay": _NOT_NEGATIVE,
    "optimizer.b1": _RATE,
    "optimizer.b2": _RATE,
    "optimizer.eps": _POSITIVE,
    "optimizer.momentum": _RATE,
    "optimizer.clip_norm": _POSITIVE,
    "optimizer.schedule": _one_of(*SCHEDULES),
    "optimizer.warmup": _DURATION,
    "optimizer.decay_every": _POSITIVE_DURATION,
    "optimizer.decay_rate": (lambda v: 0 < v <= 1, "above 0, at most 1"),
    "optimizer.final_fraction": _FRACTION,
    "validation.every": _POSITIVE_DURATION,
    "validation.batch_size": _COUNT,
    "eval.aggregation": _one_of(*AGGREGATIONS),
    "eval.top_k": _COUNT,
    "eval.threshold": _FRACTION,
    "eval.log_loss_epsilon": (lambda v: 0 < v < 0.5, "above 0, below 0.5"),
    "eval.num_resamples": _NOT_NEGATIVE,
    "eval.robustness": (
        lambda v: all(name in (*DISTURBANCES, "all") for name in v),
        f"of {', '.join(DISTURBANCES)}, or ('all',)",
    ),
    "checkpoint.every": _POSITIVE_DURATION,
    "checkpoint.keep": _COUNT,
    "checkpoint.keep_best": _COUNT,
}


def _problems(config: ConfigDict) -> Iterator[str]:
    recipe = config.get("recipe", "paper")
    if recipe not in RECIPES:
        yield f"config.recipe is one of {', '.join(RECIPES)}; got {recipe!r}"
        return
    schema = default_config(recipe)
    types = dict(_types(schema))
    values = dict(flatten(config))
    for field in values.keys() - types.keys():
        close = difflib.get_close_matches(field, types, n=1, cutoff=0.5)
        hint = f"; did you mean config.{close[0]}?" if close else ""
        yield f"there is no field config.{field}{hint}"
    for field in types.keys() - values.keys():
        yield f"config.{field} is missing; build configs on default_config()"
    for field, wanted in types.items():
        value = values.get(field)
        if field not in values or (value is None and dict(flatten(schema))[field] is None):
            continue
        if not _has_type(value, wanted):
            yield f"config.{field} must be {_type_name(wanted)}; got {value!r}"
        elif field in _CHECKS and not _CHECKS[field][0](value):
            yield f"config.{field} must be {_CHECKS[field][1]}; got {value!r}"
    if values.get("train.accumulate") != 1 and values.get("losses.batch_reduction") == "sum":
        yield "config.train.accumulate > 1 needs config.losses.batch_reduction = 'mean'"
    yield from _group_problems(values)
    if values.get("data.source") == "records" and not values.get("data.dir"):
        yield "config.data.dir is empty; give the folder that data_pipeline.prepare wrote (--out)"


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


def _types(config: ConfigDict, prefix: str = "") -> Iterator[tuple[str, type]]:
    for name in config:
        if isinstance(config[name], ConfigDict):
            yield from _types(config[name], f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", config.get_type(name)


def _has_type(value: Any, wanted: type) -> bool:
    if wanted is float:
        is_number = isinstance(value, numbers.Real) and not isinstance(value, bool)
        return is_number and math.isfinite(value)
    if wanted is int:
        return isinstance(value, numbers.Integral) and not isinstance(value, bool)
    if wanted is tuple:
        return isinstance(value, (tuple, list))
    return isinstance(value, wanted)


def _type_name(wanted: type) -> str:
    names = {float: "a finite number", int: "a whole number", str: "a string", bool: "a boolean"}
    return names.get(wanted, "a tuple")
