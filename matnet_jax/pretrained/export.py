"""A trained model for use without this library: StableHLO by `jax.export`, or a TF SavedModel.

    python -m matnet_jax.pretrained.export --workdir=runs/ffpp --out=exported [--format=savedmodel]

Both take normalised images [b, S, S, 3], or clips [b, T, S, S, 3], with any b and give a plain dict
of float32 arrays. How pixels become those images is in `preprocess.json` beside them.
"""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags

from data_pipeline.commands import Command
from data_pipeline.files import atomic_folder, write_json
from matnet_jax.checkpoints.operating_point import read_operating_point
from matnet_jax.detectors.base import Detector
from matnet_jax.detectors.inference import infer
from matnet_jax.nn.attention import portable
from matnet_jax.pretrained.trained import load_trained
from matnet_jax.runtime.workdir import versions

Outputs = dict[str, jax.Array]

PLATFORMS = ("cpu", "cuda", "tpu")
STABLEHLO_FILE = "model.stablehlo"
PREPROCESS_FILE = "preprocess.json"


def export_stablehlo(
    model: Detector,
    variables: Mapping[str, Any],
    out: str | Path,
    *,
    platforms: Sequence[str] = PLATFORMS,
    about: Mapping[str, Any] | None = None,
) -> Path:
    """Writes `model.stablehlo`, weights included, and `preprocess.json` into a new folder `out`.

    `jax.export.deserialize(data).call(images)` runs it, with JAX alone installed.

    Args:
      variables: what `model.apply` takes.
      platforms: that one file runs on.
      about: JSON values to keep beside it, such as the checkpoint's step.

    Raises:
      FileExistsError: `out` is there already.
      ValueError: an unknown platform.
    """
    unknown = sorted(set(platforms) - {*PLATFORMS, "rocm"})
    if unknown or not platforms:
        raise ValueError(f"unknown platforms {unknown}; available: {', '.join(PLATFORMS)}")
    model, variables = model.merged(variables)
    variables = {name: tree for name, tree in variables.items() if tree}

    def function(images: jax.Array) -> Outputs:
        with portable():
            return infer(model, variables, images).arrays()

    shape = jax.export.symbolic_shape(f"b,{','.join(map(str, model.input_shape))}")
    with _no_source_locations():
        exported = jax.export.export(jax.jit(function), platforms=tuple(platforms))(
            jax.ShapeDtypeStruct(shape, jnp.float32)
        )
    with atomic_folder(out) as folder:
        (folder / STABLEHLO_FILE).write_bytes(exported.serialize())
        details = {"platforms": list(platforms), **(about or {})}
        write_json(folder / PREPROCESS_FILE, interface(model, variables) | details)
    return Path(out)


def export_savedmodel(
    model: Detector,
    variables: Mapping[str, Any],
    out: str | Path,
    *,
    platforms: Sequence[str] = PLATFORMS,
    about: Mapping[str, Any] | None = None,
) -> Path:
    """Writes a TF SavedModel, signature ``serving_default(images)``, into a new folder `out`.

    Its weights are TensorFlow variables, and `preprocess.json` lies beside. Arguments and errors
    as in `export_stablehlo`.

    Raises:
      ModuleNotFoundError: TensorFlow is not installed.
    """
    try:
        import tensorflow as tf
        from jax.experimental import jax2tf
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "a SavedModel needs TensorFlow: pip install 'matnet-jax[data]'", name=error.name
        ) from error
    model, variables = model.merged(variables)
    variables = {name: tree for name, tree in variables.items() if tree}

    def call(variables: Mapping[str, Any], images: jax.Array) -> Outputs:
        with portable():
            return infer(model, variables, images).arrays()

    function = jax2tf.convert(
        call,
        polymorphic_shapes=[None, f"(b, {', '.join(map(str, model.input_shape))})"],
        with_gradient=False,
        native_serialization_platforms=tuple(platforms),
    )
    module = tf.Module()
    # The attribute makes them the module's own; constants instead would be one huge graph.
    module.network = jax.tree.map(lambda x: tf.Variable(np.asarray(x), trainable=False), variables)
    images = tf.TensorSpec([None, *model.input_shape], tf.float32, name="images")
    module.predict = tf.function(
        lambda images: function(module.network, images), input_signature=[images], autograph=False
    )
    with atomic_folder(out) as folder:
        tf.saved_model.save(module, str(folder), signatures={"serving_default": module.predict})
        details = {"platforms": list(platforms), **(about or {})}
        write_json(folder / PREPROCESS_FILE, interface(model, variables) | details)
    return Path(out)


def interface(model: Detector, variables: Mapping[str, Any]) -> dict[str, Any]:
    """What a user without this library has to know, as JSON values."""
    size = model.image_size
    found = jax.eval_shape(
        lambda images: infer(model, variables, images),
        jax.ShapeDtypeStruct((1, *model.input_shape), jnp.float32),
    )
    shape = ", ".join(map(str, model.input_shape))
    frames = f"clips of {model.clip_length} " if model.clip_length > 1 else ""
    return {
        "image_size": size,
        "clip_length": model.clip_length,
        "mean": list(model.mean),
        "std": list(model.std),
        "input": (
            f"images, float32 [b, {shape}]: {frames}RGB face crops, cut to their centre square "
            f"and resized to {size} pixels, as (pixel / 255 - mean) / std"
        ),
        "outputs": {
            name: ["b", *array.shape[1:]] for name, array in sorted(found.arrays().items())
        },
        "heatmaps": sorted(found.heatmaps),
        "score": "probability of fake; logits are [real, fake]",
        "versions": versions(),
    }


@contextlib.contextmanager
def _no_source_locations() -> Iterator[None]:
    """Keeps this machine's paths out of the file, and equal exports equal."""
    name = "jax_traceback_in_locations_limit"
    before = getattr(jax.config, name)
    jax.config.update(name, 0)
    try:
        yield
    finally:
        jax.config.update(name, before)


def _define(values: flags.FlagValues) -> None:
    flags.DEFINE_string("workdir", None, "Of the training.", required=True, flag_values=values)
    flags.DEFINE_string("out", None, "Folder to make.", required=True, flag_values=values)
    flags.DEFINE_string("checkpoint", "best", "best, latest or a step.", flag_values=values)
    flags.DEFINE_enum(
        "format", "stablehlo", ["stablehlo", "savedmodel"], "Of the files.", flag_values=values
    )
    flags.DEFINE_list("platforms", list(PLATFORMS), "That it shall run on.", flag_values=values)


def _run(values: flags.FlagValues, _: list[str]) -> None:
    write = export_stablehlo if values.format == "stablehlo" else export_savedmodel
    trained = load_trained(values.workdir, values.checkpoint)
    model = trained.model
    point = read_operating_point(values.workdir, step=trained.step)
    about = {
        "checkpoint": {"workdir": values.workdir, "step": trained.step},
        "config": trained.metadata["config"],
        "crops": trained.metadata.get("crops"),
        "operating_point": None if point is None else point.as_json(),
    }
    write(model, trained.variables, values.out, platforms=tuple(values.platforms), about=about)
    shape = f"[b, {', '.join(map(str, model.input_shape))}]"
    print(f"{values.out}: {values.format} of step {trained.step}, images {shape}")
    print(json.dumps({"mean": model.mean, "std": model.std}))


COMMAND = Command(
    program="python -m matnet_jax.pretrained.export",
    about=__doc__,
    define=_define,
    run=_run,
    errors=(ValueError, OSError, ModuleNotFoundError),
    usage_status=2,
)

if __name__ == "__main__":
    sys.exit(COMMAND())
