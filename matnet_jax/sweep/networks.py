"""How each kind of run gets its network: it is trained, fitted, or read from released files."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import jax
from ml_collections import ConfigDict

from data_pipeline.files import write_json
from matnet_jax.checkpoints.network import has_checkpoints
from matnet_jax.evaluation.probe.run import probe
from matnet_jax.pretrained.convert import convert
from matnet_jax.sweep.definition import Fitted, Released, Run
from matnet_jax.train.run import train

NOTE = "trained.json"
"""In the workdir of a run whose network is made: the config that made it, and what came of it."""

FRAMES_PER_VIDEO = 10
"""Of what a line is fitted on, spread over each video."""


def make_network(
    run: Run, config: ConfigDict, folder: Path, *, released: Path | None
) -> dict[str, Any]:
    """Makes the workdir of a run, or goes on with it; at the end it has its `NOTE`.

    Args:
      run: of any kind but an ensemble.
      config: its own.
      folder: the workdir.
      released: folder of released files.

    Returns:
      What there is to say of it, as JSON values.

    Raises:
      FileNotFoundError: released files are not there; the message names them and the folder.
      FileExistsError: the workdir has a network that was fitted or read by another config.
      ValueError, OSError: as `train`, `probe` and `convert` raise.
    """
    if isinstance(run, (Fitted, Released)):
        if has_checkpoints(folder):
            raise FileExistsError(
                f"{folder} has a network that was made by another config: delete it, or take "
                "another --workdir"
            )
        partial = folder.with_name(f"{folder.name}.partial")  # of a run that was cut off
        shutil.rmtree(partial, ignore_errors=True)
        if isinstance(run, Released):
            made = _read(run, config, partial, released)
        else:
            made = _fitted(config, partial)
        _write_note(partial, config, made)
        partial.rename(folder)
        return made
    made = train(config, folder)
    if jax.process_index() == 0:
        _write_note(folder, config, made)
    return made


def _write_note(folder: Path, config: ConfigDict, made: dict[str, Any]) -> None:
    plain = json.loads(config.to_json_best_effort())
    write_json(folder / NOTE, {"config": plain, **made})


def checkpoint_of(run: Run) -> str:
    """Which checkpoint is scored: of a network that was not validated, the only one."""
    return "latest" if isinstance(run, Released) else "best"


def _read(run: Released, config: ConfigDict, folder: Path, released: Path | None) -> dict[str, Any]:
    if released is None:
        raise FileNotFoundError("--released=DIR says where released files are")
    paths = [released / name for name in run.files]
    if missing := [str(path) for path in paths if not path.is_file()]:
        raise FileNotFoundError(f"no {', '.join(missing)}, of the released files")
    made = convert(paths, folder, config)
    return {"files": list(run.files), "left_at_random": list(made.left_at_random)}


def _fitted(config: ConfigDict, folder: Path) -> dict[str, Any]:
    metrics = probe(
        config,
        folder / "probe",
        classifier="svm",
        frames_per_video=FRAMES_PER_VIDEO,
        save=folder,
    )
    return {"c": metrics["probe"]["c"], "video_auc": metrics["video"]["auc"]}
