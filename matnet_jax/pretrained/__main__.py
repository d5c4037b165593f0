"""`python -m matnet_jax.pretrained convert IN OUT` and `… inspect IN`."""

from __future__ import annotations

import argparse
import ast
import json
import runpy
import sys
import warnings

from absl import logging

from matnet_jax.config.schema import default_config
from matnet_jax.detectors.mat.recipes import RECIPES
from matnet_jax.pretrained.convert import convert
from matnet_jax.pretrained.load import describe, read_weights


def main(arguments: list[str] | None = None) -> int:
    """Runs one command; returns its exit status."""
    warnings.showwarning = lambda message, *_: print(f"warning: {message}", file=sys.stderr)
    logging.set_verbosity(logging.ERROR)  # Orbax tells every phase of a save
    options = _parser().parse_args(arguments)
    try:
        return options.run(options)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m matnet_jax.pretrained", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    inspect = commands.add_parser("inspect", help="say what a checkpoint is")
    inspect.set_defaults(run=_inspect)

    make = commands.add_parser("convert", help="make a checkpoint of ours from another")
    make.set_defaults(run=_convert)
    for command in (inspect, make):
        command.add_argument("source", metavar="IN", help="file, folder or URL")
        command.add_argument("--sha256", help="hash that the file must have")
        command.add_argument("--cache_dir", help="where downloads are kept")
    make.add_argument("out", metavar="OUT", help="workdir to make")
    make.add_argument(
        "--model",
        default="released",
        choices=[*RECIPES, "classifier"],
        help="a recipe of MAT, or the plain classifier (default: released)",
    )
    make.add_argument("--config", help="config file to take recipe and model from, in their place")
    make.add_argument("--backbone", help="default: efficientnet-b4, or the config's")
    make.add_argument("--image_size", type=int, help="pixels")
    make.add_argument("--num_attentions", type=int, help="M")
    make.add_argument("--texture_stage")
    make.add_argument("--attention_stage")
    make.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="FIELD=VALUE",
        help="any other field of config.model, such as --set texture_version=v1",
    )
    make.add_argument(
        "--prefixes", type=lambda text: text.split(","), help="parts to take, such as features"
    )
    make.add_argument(
        "--no-strict",
        dest="strict",
        action="store_false",
        help="take every array of equal shape, list the rest",
    )
    return parser


def _inspect(options: argparse.Namespace) -> int:
    weights = read_weights(options.source, sha256=options.sha256, cache_dir=options.cache_dir)
    print(json.dumps(describe(weights), indent=2))
    return 0


def _convert(options: argparse.Namespace) -> int:
    made = convert(
        options.source,
        options.out,
        _config(options),
        prefixes=options.prefixes,
        strict=options.strict,
        sha256=options.sha256,
        cache_dir=options.cache_dir,
    )
    preprocess = made.model.preprocess
    kind = type(made.model).__name__
    print(f"{made.checkpoint}: {made.family} as {kind} on {made.model.backbone}")
    print(f"preprocess: {preprocess.image_size} px, mean {preprocess.mean}, std {preprocess.std}")
    if made.left_at_random:
        print(f"at initial values, to be trained: {', '.join(made.left_at_random)}")
    return 0


def _config(options: argparse.Namespace):
    if options.config:
        config = runpy.run_path(options.config)["get_config"]()
    else:
        classifier = options.model == "classifier"
        config = default_config(name="classifier") if classifier else default_config(options.model)
    given = {
        name: getattr(options, name)
        for name in (
            "backbone",
            "image_size",
            "num_attentions",
            "texture_stage",
            "attention_stage",
        )
        if getattr(options, name) is not None
    }
    for item in options.set:
        name, separator, value = item.partition("=")
        if not separator:
            raise ValueError(f"--set {item}: wanted FIELD=VALUE, such as texture_version=v1")
        if name not in config.model:
            raise ValueError(f"no field config.model.{name}; available: {', '.join(config.model)}")
        given[name] = _value(value)
    config.model.update(given)
    return config


def _value(text: str):
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


if __name__ == "__main__":
    sys.exit(main())
