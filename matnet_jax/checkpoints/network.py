"""A trained network: from the arrays that a checkpoint holds, and written without a training."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from data_pipeline.files import write_json
from matnet_jax.checkpoints.state import TrainState
from matnet_jax.config.build import build_model
from matnet_jax.config.legacy import upgraded
from matnet_jax.detectors.assembly import assemble
from matnet_jax.detectors.base import Detector


@dataclasses.dataclass(frozen=True)
class TrainedNetwork:
    """A network with its weights.

    Attributes:
      model: with the preprocessing that it was trained with.
      variables: what `model.apply` takes, NumPy arrays; averaged parameters where the training kept
        them.
      step: of the checkpoint.
      metadata: the checkpoint's JSON values, its config in today's names.
    """

    model: Detector
    variables: dict[str, Any]
    step: int
    metadata: dict[str, Any]


def network_of(
    arrays: Mapping[str, np.ndarray], metadata: Mapping[str, Any], *, step: int
) -> TrainedNetwork:
    """The network that named arrays are of.

    Args:
      arrays: by path, as `named_arrays` gives them.
      metadata: with `config`, in the names of any version, and `preprocess`.
      step: of the checkpoint.

    Raises:
      ConfigError, WeightsMismatchError: this version builds no such network.
    """
    config = upgraded(metadata["config"])
    preprocess = metadata["preprocess"]
    model = build_model(config).clone(
        image_size=preprocess["image_size"],
        mean=tuple(preprocess["mean"]),
        std=tuple(preprocess["std"]),
    )
    named = {**metadata, "config": json.loads(config.to_json_best_effort())}
    return TrainedNetwork(model, assemble(model, arrays), step, named)


def save_network(
    workdir: str | Path,
    config: ConfigDict,
    model: Detector,
    variables: Mapping[str, Any],
    *,
    metadata: Mapping[str, Any],
    metrics: Mapping[str, float | None] | None = None,
) -> Path:
    """Writes a network without a training: step 0 of a workdir that has no checkpoints yet.

    Args:
      workdir: made when it is not there. Gets ``checkpoints/`` and ``config.json``.
      config: its recipe and model are the network's.
      model: of `config`.
      variables: what `model.apply` takes.
      metadata: JSON values that the checkpoint holds beside config and preprocessing.
      metrics: of validation, for what asks for the best checkpoint.

    Returns:
      The checkpoint's folder.

    Raises:
      FileExistsError: the workdir has checkpoints already.
      CheckpointError: the checkpoint could not be written.
    """
    from matnet_jax.checkpoints.orbax import Checkpoints  # weights that ship need no Orbax

    workdir = Path(workdir).absolute()
    check_empty(workdir)
    own = json.loads(config.to_json_best_effort())
    state = TrainState(
        step=np.zeros((), np.int32),  # type: ignore[arg-type]
        params=variables["params"],
        opt_state={},
        collections={name: tree for name, tree in variables.items() if name != "params"},
    )
    about = {"config": own, "preprocess": dataclasses.asdict(model.preprocess), **metadata}
    with Checkpoints(workdir / "checkpoints") as checkpoints:
        checkpoints.save(0, state, metadata=about, metrics=metrics)
    write_json(workdir / "config.json", own)
    return workdir / "checkpoints" / "0"


def has_checkpoints(workdir: str | Path) -> bool:
    """Whether one is there whole; what a save that was cut off left is none, and goes."""
    return any(path.name.isdecimal() for path in (Path(workdir) / "checkpoints").glob("*"))


def check_empty(workdir: str | Path) -> None:
    """Raises FileExistsError where a workdir has checkpoints."""
    if has_checkpoints(workdir):
        raise FileExistsError(f"{workdir} has checkpoints already; give another folder")
