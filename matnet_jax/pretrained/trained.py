"""The one loader of a trained network: what a checkpoint holds, as what it was trained as."""

from __future__ import annotations

from pathlib import Path

from ml_collections import ConfigDict

from matnet_jax.checkpoints.errors import CheckpointMismatchError
from matnet_jax.checkpoints.network import TrainedNetwork, network_of
from matnet_jax.checkpoints.orbax import Checkpoints
from matnet_jax.config.build import resolved
from matnet_jax.config.legacy import upgraded
from matnet_jax.config.schema import adopt_model_fields, changes
from matnet_jax.pretrained.frozen import saved_arrays


def load_trained(
    workdir: str | Path,
    checkpoint: str | int = "best",
    *,
    expected: ConfigDict | None = None,
) -> TrainedNetwork:
    """The network of a checkpoint, without a config to be given; any processes may read it.

    Args:
      workdir: of a training or a conversion.
      checkpoint: ``best``, ``latest`` or a step.
      expected: a config whose recipe and model must be the checkpoint's; a field of its model that
        is None takes the checkpoint's value.

    Raises:
      CheckpointError: there is no such checkpoint or it cannot be read.
      ConfigError, CheckpointMismatchError: it is of a network that this version cannot build, or of
        another than `expected`.
    """
    with Checkpoints(Path(workdir) / "checkpoints", read_only=True) as checkpoints:
        step = checkpoints.resolve(checkpoint)
        metadata = checkpoints.metadata(step)
        if expected is not None:
            _check_same(upgraded(metadata["config"]), expected, checkpoints.directory / str(step))
        sources = None if expected is None else [expected.init.path]
        arrays = saved_arrays(checkpoints, step, metadata, sources=sources)
    return network_of(arrays, metadata, step=step)


def _check_same(trained: ConfigDict, config: ConfigDict, path: Path) -> None:
    config = upgraded(config)
    if (config.model.name, config.model.get("backbone")) == (
        trained.model.name,
        trained.model.get("backbone"),
    ):
        config = adopt_model_fields(config, trained)
    differences = changes(
        {"recipe": trained.recipe, "model": resolved(trained)},
        {"recipe": config.recipe, "model": resolved(config)},
    )
    if differences:
        raise CheckpointMismatchError(
            f"the checkpoint {path} is of another network (before: when it was trained, now: "
            "--config):\n  " + "\n  ".join(differences.values())
        )
