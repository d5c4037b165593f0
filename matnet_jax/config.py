"""The fields of a config, their defaults, and the check that runs before anything else does.

A field whose default is None takes its value from the recipe or from the backbone.
"""

import difflib
import math
import numbers
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ml_collections import ConfigDict
from ml_collections.config_dict import placeholder

from matnet_jax.agda import MODES
from matnet_jax.optim import OPTIMIZERS, SCHEDULES, duration_in_steps

_RECIPES = ("paper",)


class ConfigError(ValueError):
    """A config that cannot be run; the message lists everything that is wrong with it."""


def default_config(recipe: str = "paper") -> ConfigDict:
    """All fields, with the recipe's values.

    Args:
      recipe: ``paper``: what the paper's text says; where it is silent (length of training,
        validation, crops' augmentation), ours.

    Raises:
      ConfigError: for an unknown recipe.
    """
    if recipe not in _RECIPES:
        raise ConfigError(f"recipe is one of {', '.join(_RECIPES)}; got {recipe!r}")
    config = ConfigDict()
    config.recipe = recipe
    config.seed = 0  # of initialisation, data order, augmentation and dropout

    model = config.model = ConfigDict()
    model.kind = "mat"  # or "classifier": the plain baseline on the same backbone
    model.backbone = "efficientnet-b4"
    model.texture_stage = placeholder(str)
    model.attention_stage = placeholder(str)
    model.num_attentions = 4
    model.image_size = placeholder(int)  # pixels
    model.dtype = "float32"  # of computation; parameters, statistics and losses are float32
    model.padding = placeholder(str)
    model.nominal_size = placeholder(int)  # pixels
    model.width_coefficient = placeholder(float)
    model.depth_coefficient = placeholder(float)
    model.stochastic_depth_rate = placeholder(float)
    model.batch_norm_momentum = placeholder(float)
    model.batch_norm_epsilon = placeholder(float)
    model.attention_version = placeholder(str)
    model.texture_version = placeholder(str)
    model.ril_version = placeholder(str)
    model.global_pooling = placeholder(str)
    model.standardize_pooled = placeholder(bool)
    model.mid_dims = placeholder(int)
    model.dropout_rate = placeholder(float)
    model.final_dropout_rate = placeholder(float)
    model.same_max_pool = placeholder(bool)

    losses = config.losses = ConfigDict()  # see train_step.LossOptions
    losses.cross_entropy = 1.0  # λ1
    losses.auxiliary = "ril"
    losses.auxiliary_weight = 1.0  # λ2
    losses.augmented = 1.0  # cross entropy of the second pass, on AGDA's images
    losses.match = 0.0
    losses.inner_margin = (0.05, 0.1)  # m_in of real, fake
    losses.outer_margin = 0.2  # m_out
    losses.batch_reduction = "mean"
    losses.label_smoothing = 0.0
    losses.ams_scale = 30.0
    losses.ams_margin = 0.35

    agda = config.agda = ConfigDict()  # see agda.AGDAOptions
    agda.mode = "soft"
    agda.scale = 0.3
    agda.kernel_size = 11  # pixels of the small image
    agda.sigma = 7.0  # pixels of the small image
    agda.noise = 0.0  # normalised units
    agda.threshold = (0.5, 0.5)
    agda.zoom = placeholder(tuple)
    agda.choice = "uniform"

    centers = config.centers = ConfigDict()
    centers.rate = 0.05  # α
    centers.decay_rate = 0.9
    centers.decay_every = "1 epoch"
    centers.move_twice = False  # also in the second pass

    data = config.data = ConfigDict()
    data.source = "records"  # or "synthetic": the embedded data set
    data.dir = ""  # where prepare wrote the records (its --out)
    data.ops = "flip"  # augmentation on the host: none, flip, standard, strong
    data.real_repeat = 4  # times that a real example is seen in one epoch
    data.balance = "repeat"  # or "batch": half of each batch is real, half is fake
    data.synthetic_seed = 0  # another one makes other people
    data.synthetic_identities = placeholder(int)  # people a split; None: as many as is usual

    train = config.train = ConfigDict()
    train.batch_size = 48  # global: over all devices of all processes
    train.duration = "10 epochs"  # here and below: epochs, steps or examples
    train.log_every = "50 steps"
    train.ema_decay = placeholder(float)  # a step; None: no averaged parameters

    optimizer = config.optimizer = ConfigDict()
    optimizer.name = "adam"
    optimizer.learning_rate = 1e-3
    optimizer.weight_decay = 1e-6  # coupled (L2) in adam and sgd, decoupled in adamw
    optimizer.b1 = 0.9
    optimizer.b2 = 0.999
    optimizer.eps = 1e-8
    optimizer.momentum = 0.9  # of sgd
    optimizer.clip_norm = placeholder(float)  # None: gradients are not clipped
    optimizer.freeze = ()  # path prefixes of parameters that do not train
    optimizer.schedule = "constant"
    optimizer.warmup = "0 steps"
    optimizer.decay_every = "5 epochs"  # of the step schedule
    optimizer.decay_rate = 0.5  # of the step schedule
    optimizer.final_fraction = 0.0  # of the cosine schedule

    validation = config.validation = ConfigDict()
    validation.every = "1 epoch"
    validation.batch_size = 48  # global

    checkpoint = config.checkpoint = ConfigDict()
    checkpoint.every = "1 epoch"  # and with every validation
    checkpoint.keep = 2  # so many of the latest; the best is kept beside them
    return config.lock()


def validate(config: ConfigDict) -> None:
    """Checks names, types and ranges of all fields.

    Raises:
      ConfigError: with one line for each problem.
    """
    problems = list(_problems(config))
    if problems:
        raise ConfigError("the config cannot be run:\n  " + "\n  ".join(problems))


def changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, str]:
    """The fields that differ between two configs (as JSON values), with a line about each."""
    old, new = dict(flatten(before)), dict(flatten(after))
    return {
        field: f"config.{field}: {old.get(field)!r} before, {new.get(field)!r} now"
        for field in sorted(old | new)
        if old.get(field) != new.get(field)
    }


def flatten(config: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Pairs of a dotted field name and its value, tuples as lists."""
    for name in config:
        value = config[name]
        if isinstance(value, (Mapping, ConfigDict)):
            yield from flatten(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", list(value) if isinstance(value, tuple) else value


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
    "model.mid_dims": _COUNT,
    "model.dropout_rate": _RATE,
    "model.final_dropout_rate": _RATE,
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
    "data.synthetic_seed": _NOT_NEGATIVE,
    "data.synthetic_identities": _COUNT,
    "train.batch_size": _COUNT,
    "train.duration": _POSITIVE_DURATION,
    "train.log_every": _POSITIVE_DURATION,
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
    "checkpoint.every": _POSITIVE_DURATION,
    "checkpoint.keep": _COUNT,
}


def _problems(config: ConfigDict) -> Iterator[str]:
    recipe = config.get("recipe", "paper")
    if recipe not in _RECIPES:
        yield f"config.recipe is one of {', '.join(_RECIPES)}; got {recipe!r}"
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
    if values.get("data.source") == "records" and not values.get("data.dir"):
        yield "config.data.dir is empty; give the folder that data_pipeline.prepare wrote (--out)"


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
