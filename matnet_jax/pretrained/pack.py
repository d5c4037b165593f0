"""From a trained and calibrated workdir to weights that are handed out.

    matnet pack --workdir=DIR --name=matnet-lite0 [--gate=FILE] [--out=DIR]

Writes NAME.safetensors (parameters in float16) and its manifest NAME.json. Weights that did not
pass the ship gate, or were not judged, get a name that ends in "-experimental".
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from absl import flags

from data_pipeline.commands import Command
from data_pipeline.files import atomic_file, write_json
from matnet_jax.checkpoints.network import TrainedNetwork
from matnet_jax.checkpoints.operating_point import read_operating_point
from matnet_jax.config.schema import known_family
from matnet_jax.detectors.assembly import flatten
from matnet_jax.metrics.operating_point import OperatingPoint
from matnet_jax.pretrained.manifest import EXPERIMENTAL, LIMITS, Manifest, WeightsError
from matnet_jax.pretrained.packaged import FOLDER
from matnet_jax.pretrained.trained import load_trained


def pack(
    workdir: str | Path,
    name: str,
    out: str | Path = FOLDER,
    *,
    checkpoint: str | int = "best",
    gate: str | Path | None = None,
    limits: str = LIMITS,
) -> Manifest:
    """Writes the weights of a checkpoint and their manifest; whole, the manifest last.

    Args:
      workdir: of the training, with the operating point of that checkpoint.
      name: without `EXPERIMENTAL`, which is added unless the gate was passed.
      out: folder; by default that in the package.
      checkpoint: ``best``, ``latest`` or a step.
      gate: the ship gate's `gate.json`; None: it was not asked.
      limits: what the detector does not see, in words.

    Raises:
      CheckpointError, ConfigError: see `load_trained`.
      WeightsError: the checkpoint has no operating point, the gate judged another one, or a
        parameter is beyond float16.
      OSError: a file can't be read or written.
    """
    from safetensors.numpy import save

    trained = load_trained(workdir, checkpoint)
    point = read_operating_point(workdir, step=trained.step)
    if point is None:
        raise WeightsError(
            f"{workdir} has no operating point of step {trained.step}, without which nobody knows "
            "what a score means: evaluate with config.eval.fit_on_validation"
        )
    verdict = None if gate is None else _judged(Path(gate), point, step=trained.step)
    name = name.removesuffix(EXPERIMENTAL)
    if verdict is None or not verdict["met"]:
        name += EXPERIMENTAL
    data = save(_halved(flatten(trained.variables)))
    folder = Path(out).expanduser()
    manifest = Manifest(
        name=name,
        file=f"{name}.safetensors",
        sha256=hashlib.sha256(data).hexdigest(),
        config=_network_config(trained),
        preprocess=trained.metadata["preprocess"],
        crops=trained.metadata.get("crops"),
        operating_point=point.as_json(),
        limits=limits,
        gate=verdict,
        training={
            "step": trained.step,
            "seed": trained.metadata["config"].get("seed"),
            "versions": trained.metadata.get("versions"),
        },
        folder=folder,
    )
    with atomic_file(manifest.path, "wb") as file:
        file.write(data)
    write_json(folder / f"{name}.json", manifest.as_json())
    return manifest


def _judged(path: Path, point: OperatingPoint, *, step: int) -> dict[str, Any]:
    """What the gate found of this checkpoint at this operating point."""
    try:
        verdict = json.loads(path.read_text(encoding="utf-8"))
        met, judged = verdict["met"], verdict["checkpoint"]["step"]
        threshold = float(verdict["threshold"])
    except (ValueError, KeyError, TypeError) as error:
        raise WeightsError(
            f"{path} is no verdict of the ship gate ({error!r}): wanted JSON with met, threshold "
            "and checkpoint.step"
        ) from error
    if not isinstance(met, bool):
        raise WeightsError(f"{path}: met is {met!r}, wanted true or false")
    if (judged, threshold) != (step, point.threshold):
        raise WeightsError(
            f"{path} judged step {judged} at the threshold {threshold}, and what is packed is step "
            f"{step} at {point.threshold}: judge this one"
        )
    verdict["checkpoint"] = {"step": judged}  # the rest of it names folders of one machine
    return verdict


def _halved(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Parameters in float16; statistics stay as they are: they are few, and span more."""
    halved = {}
    for path, array in arrays.items():
        if not path.startswith("params/"):
            halved[path] = np.ascontiguousarray(array)
            continue
        with np.errstate(over="ignore"):
            halved[path] = np.ascontiguousarray(array, np.float16)
        if not np.isfinite(halved[path]).all():
            raise WeightsError(
                f"{path} has values up to {np.abs(array).max():g}, and float16 ends at "
                f"{np.finfo(np.float16).max:g}: train on, with weight decay"
            )
    return halved


def _network_config(trained: TrainedNetwork) -> dict[str, Any]:
    """What of the config the network is built of: no folders of the machine that trained."""
    config = trained.metadata["config"]
    sections = known_family(config["model"]["name"]).sections
    kept = ("recipe", "model", *(name for name in sections if name in config))
    return {**{name: config[name] for name in kept}, "train": {}}


def _define(values: flags.FlagValues) -> None:
    flags.DEFINE_string(
        "workdir", None, "Of the training, calibrated.", required=True, flag_values=values
    )
    flags.DEFINE_string("name", None, "Of the weights.", required=True, flag_values=values)
    flags.DEFINE_string("checkpoint", "best", "best, latest or a step.", flag_values=values)
    flags.DEFINE_string("gate", None, "gate.json of the ship gate.", flag_values=values)
    flags.DEFINE_string("limits", LIMITS, "What it does not see, in words.", flag_values=values)
    flags.DEFINE_string("out", None, "Folder; default: in the package.", flag_values=values)


def _run(values: flags.FlagValues, _: list[str]) -> None:
    manifest = pack(
        values.workdir,
        values.name,
        values.out or FOLDER,
        checkpoint=values.checkpoint,
        gate=values.gate,
        limits=values.limits,
    )
    kind = "passed the ship gate" if manifest.is_default else "experimental, never the default"
    size = manifest.path.stat().st_size / 1e6
    print(f"{manifest.path}: {size:.2f} MB, step {manifest.training['step']}; {kind}")


COMMAND = Command(
    program="matnet pack", about=__doc__ or "", define=_define, run=_run, usage_status=2
)
