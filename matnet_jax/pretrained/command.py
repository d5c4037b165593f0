"""`convert` and `inspect`: checkpoints of others, and of earlier runs."""

from __future__ import annotations

import ast
import json
from typing import Any

from absl import flags
from ml_collections import ConfigDict

from data_pipeline.commands import Command, Commands
from matnet_jax.config.schema import default_config
from matnet_jax.detectors.mat.recipes import RECIPES
from matnet_jax.detectors.registry import detectors
from matnet_jax.pretrained.convert import convert
from matnet_jax.pretrained.load import describe, read_weights
from matnet_jax.runtime.config_files import load_config

_MODEL_FLAGS = ("backbone", "image_size", "num_attentions", "texture_stage", "attention_stage")


def _define_source(values: flags.FlagValues) -> None:
    flags.DEFINE_string(
        "sha256", None, "Hash that the file must have; A,B of two.", flag_values=values
    )
    flags.DEFINE_string("cache_dir", None, "Where downloads are kept.", flag_values=values)


def _define_convert(values: flags.FlagValues) -> None:
    flags.DEFINE_enum(
        "model",
        "released",
        [*RECIPES, "classifier"],
        "A recipe of MAT, or the plain classifier.",
        flag_values=values,
    )
    flags.DEFINE_enum(
        "family",
        None,
        detectors(),
        "A family of detectors, in place of --model.",
        flag_values=values,
    )
    for name, text in (
        ("config", "Config, such as ffpp:meso4, to take recipe and model from."),
        ("backbone", "Default: efficientnet-b4, or the config's."),
        ("texture_stage", "Such as L2."),
        ("attention_stage", "Such as L5."),
    ):
        flags.DEFINE_string(name, None, text, flag_values=values)
    flags.DEFINE_integer("image_size", None, "Pixels.", flag_values=values)
    flags.DEFINE_integer("num_attentions", None, "M.", flag_values=values)
    flags.DEFINE_multi_string(
        "set",
        [],
        "FIELD=VALUE, any other field of config.model, such as texture_version=v1",
        flag_values=values,
    )
    flags.DEFINE_list("prefixes", None, "Parts to take, such as features.", flag_values=values)
    flags.DEFINE_bool(
        "no-strict",
        False,
        "Take every array of equal shape, list the rest.",
        flag_values=values,
    )
    _define_source(values)


def _inspect(values: flags.FlagValues, arguments: list[str]) -> None:
    [source] = arguments
    weights = read_weights(source, sha256=values.sha256, cache_dir=values.cache_dir)
    print(json.dumps(describe(weights), indent=2))


def _convert(values: flags.FlagValues, arguments: list[str]) -> None:
    *sources, out = arguments
    made = convert(
        sources,
        out,
        _config(values),
        prefixes=values.prefixes,
        strict=not values["no-strict"].value,
        sha256=values.sha256 and values.sha256.split(","),
        cache_dir=values.cache_dir,
    )
    preprocess = made.model.preprocess
    print(f"{made.checkpoint}: {made.family} as {made.model.description}")
    print(f"preprocess: {preprocess.image_size} px, mean {preprocess.mean}, std {preprocess.std}")
    if made.left_at_random:
        print(f"at initial values, to be trained: {', '.join(made.left_at_random)}")


def _config(values: flags.FlagValues) -> ConfigDict:
    if values.config:
        config = load_config(values.config)
    elif values.family:
        config = default_config(name=values.family)
    else:
        classifier = values.model == "classifier"
        config = default_config(name="classifier") if classifier else default_config(values.model)
    given = {name: values[name].value for name in _MODEL_FLAGS if values[name].value is not None}
    for item in values.set:
        name, separator, value = item.partition("=")
        if not separator:
            raise ValueError(f"--set {item}: wanted FIELD=VALUE, such as texture_version=v1")
        given[name] = _value(value)
    for name in given:
        if name not in config.model:
            raise ValueError(f"no field config.model.{name}; available: {', '.join(config.model)}")
    config.model.update(given)
    return config


def _value(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


INSPECT = Command(
    program="python -m matnet_jax.pretrained inspect",
    about="""Says what a checkpoint is.

    inspect IN

IN is a file, a folder or a URL.
""",
    define=_define_source,
    run=_inspect,
    arguments="IN",
    usage_status=2,
)
CONVERT = Command(
    program="python -m matnet_jax.pretrained convert",
    about="""Makes a checkpoint of ours from another.

    convert IN [IN …] OUT [--model=released | --family=NAME | --config=FILE]

IN is a file, a folder or a URL, or several that hold a network's parts; OUT is the workdir to make.
""",
    define=_define_convert,
    run=_convert,
    arguments="IN OUT …",
    usage_status=2,
)
COMMANDS = Commands(
    "python -m matnet_jax.pretrained",
    "Checkpoints of others, and of earlier runs.",
    {
        "inspect": ("say what a checkpoint is", f"{__name__}:INSPECT"),
        "convert": ("make a checkpoint of ours from another", f"{__name__}:CONVERT"),
    },
)
