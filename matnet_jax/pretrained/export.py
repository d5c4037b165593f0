"""Writes a network for use elsewhere: StableHLO, ONNX or a TensorFlow SavedModel.

    matnet export --workdir=DIR --out=DIR [--format=stablehlo|onnx|savedmodel]
    matnet export --weights=NAME --out=DIR …

All formats take normalised images [b, S, S, 3], or clips [b, T, S, S, 3], and give float32 arrays
by name. How pixels become those images, how faces were cut, what decides and what does not help is
in preprocess.json beside them. docs/export.md says which format is for what.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from absl import flags

from data_pipeline.commands import Command

FORMATS = ("stablehlo", "onnx", "savedmodel", "tflite")


def _define(values: flags.FlagValues) -> None:
    text = flags.DEFINE_string
    text("workdir", None, "Of the training.", flag_values=values)
    text("weights", None, "Of the package, or a manifest's FILE.json.", flag_values=values)
    text("out", None, "Folder to make.", required=True, flag_values=values)
    text("checkpoint", "best", "best, latest or a step.", flag_values=values)
    flags.DEFINE_enum("format", "stablehlo", FORMATS, "Of the files.", flag_values=values)
    flags.DEFINE_list(
        "platforms", None, "Of stablehlo and savedmodel; default: all.", flag_values=values
    )


def _run(values: flags.FlagValues, _: list[str]) -> None:
    from matnet_jax.checkpoints import export

    write: Callable[..., Path] = {
        "stablehlo": export.export_stablehlo,
        "onnx": export.export_onnx,
        "savedmodel": export.export_savedmodel,
        "tflite": _refuse_tflite,
    }[values.format]
    if values.platforms and values.format not in ("stablehlo", "savedmodel"):
        raise ValueError(f"--platforms={','.join(values.platforms)}: {values.format} has none")
    options = {"platforms": tuple(values.platforms)} if values.platforms else {}
    trained, about = _network(values)
    model = trained.model
    write(model, trained.variables, values.out, about=about, **options)
    shape = f"[b, {', '.join(map(str, model.input_shape))}]"
    print(f"{values.out}: {values.format} of step {trained.step}, images {shape}")
    print(json.dumps({"mean": model.mean, "std": model.std}))


def _refuse_tflite(*_: Any, **__: Any) -> Path:
    raise ValueError(
        "TensorFlow's converter to TFLite (2.21) fails on our matrix products over maps, so there "
        "is no such file (docs/export.md); use --format=onnx, or --format=savedmodel"
    )


def _network(values: flags.FlagValues) -> tuple[Any, Mapping[str, Any]]:
    """What is exported, and what is kept beside it."""
    from matnet_jax.checkpoints.operating_point import read_operating_point
    from matnet_jax.pretrained.manifest import LIMITS
    from matnet_jax.pretrained.packaged import find
    from matnet_jax.pretrained.trained import load_trained

    if (values.workdir is None) == (values.weights is None):
        raise ValueError("give one of --workdir=DIR and --weights=NAME: the network to export")
    if values.workdir is not None:
        trained = load_trained(values.workdir, values.checkpoint)
        point, limits = read_operating_point(values.workdir, step=trained.step), LIMITS
        origin = {"workdir": values.workdir, "step": trained.step}
    else:
        manifest = find(values.weights)
        trained = manifest.load()
        point, limits = manifest.point(), manifest.limits
        origin = {"weights": manifest.name, "sha256": manifest.sha256, "step": trained.step}
    return trained, {
        "checkpoint": origin,
        "config": trained.metadata["config"],
        "crops": trained.metadata.get("crops"),
        "operating_point": None if point is None else point.as_json(),
        "limits": limits,
    }


COMMAND = Command(
    program="matnet export",
    about=__doc__ or "",
    define=_define,
    run=_run,
    errors=(ValueError, OSError, ModuleNotFoundError),
    usage_status=2,
)

if __name__ == "__main__":
    sys.exit(COMMAND())
