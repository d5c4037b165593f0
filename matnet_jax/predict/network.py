"""A trained network as a function of face crops: of a workdir, of weights, or of an export."""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from data_pipeline.extract.protocol import CropProtocol
from matnet_jax.checkpoints.crops import crops_of
from matnet_jax.checkpoints.network import TrainedNetwork
from matnet_jax.checkpoints.operating_point import read_operating_point
from matnet_jax.detectors.inference import infer
from matnet_jax.evaluation.engines import Engine, converted_engine, export_details, exported_engine
from matnet_jax.metrics.operating_point import OperatingPoint
from matnet_jax.pretrained.manifest import LIMITS
from matnet_jax.pretrained.packaged import find
from matnet_jax.report.overlays import joined_heatmaps
from matnet_jax.runtime.parts import images_at_once, in_parts
from matnet_jax.runtime.sharding import (
    batch_sharded,
    data_mesh,
    global_batch,
    replicate,
    replicated,
)


@dataclasses.dataclass(frozen=True)
class Network:
    """Scores batches of crops, or of clips of them.

    Attributes:
      image_size: pixels of the crops it takes.
      batch_size: most crops, or clips, that are given at once.
      about: what it is, as JSON values: checkpoint and step.
      crops: how the faces were cut that it was trained on; None where that is not known.
      run: uint8 [n, S, S, 3], or clips [n, T, S, S, 3] -> scores [n], or of each frame of a clip
        [n, T]; and heat maps [..., h, w, K] by name; NumPy arrays.
      operating_point: what an evaluation fitted for its scores; None where none did.
      limits: what the operating point does not help against, in words.
      clip_length: frames of a person's face that it takes at once.
      engine: what runs it, in words.
    """

    image_size: int
    batch_size: int
    about: Mapping[str, Any]
    run: Callable[[np.ndarray], tuple[Any, dict[str, Any]]]
    crops: CropProtocol | None = None
    operating_point: OperatingPoint | None = None
    limits: str = LIMITS
    clip_length: int = 1
    engine: str = "jax"

    def __call__(self, crops: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """Scores up to `batch_size` crops, or clips.

        Args:
          crops: uint8 RGB [n, S, S, 3], or clips [n, T, S, S, 3].

        Returns:
          P(fake) float32 [n], and heat maps float32 [n, h, w, K]; None of a network without them.
          Where each frame of a clip is judged, [n, T] and [n, T, h, w, K].
        """
        scores, heatmaps = self.run(crops)
        return scores, joined_heatmaps(heatmaps) if heatmaps else None


def trained_network(
    workdir: str | Path,
    *,
    checkpoint: str | int = "best",
    batch_size: int = 32,
    engine: str = "auto",
) -> Network:
    """The network of a checkpoint, over all devices of this process.

    Args:
      checkpoint: ``best``, ``latest`` or a step.
      batch_size: see `Network`.
      engine: one of `ENGINES`.

    Raises:
      CheckpointError, ConfigError: see `load_trained`.
      ModuleNotFoundError, UnsupportedError, ValueError: there is no such engine, it is not
        installed, or it cannot take the network.
    """
    from matnet_jax.pretrained.trained import load_trained  # weights that ship need no Orbax

    trained = load_trained(workdir, checkpoint)
    return _runnable(
        trained,
        batch_size,
        engine,
        about={"workdir": str(Path(workdir).absolute()), "step": trained.step},
        operating_point=read_operating_point(workdir, step=trained.step),
    )


def packaged_network(
    name: str | Path | None = None, *, batch_size: int = 32, engine: str = "auto"
) -> Network:
    """The network of weights that are handed out, over all devices of this process.

    Args:
      name: see `find`; None for the default.
      batch_size: see `Network`.
      engine: one of `ENGINES`.

    Raises:
      WeightsError: there are no such weights, or they are damaged.
      ModuleNotFoundError, UnsupportedError, ValueError: see `trained_network`.
    """
    manifest = find(name)
    return _runnable(
        manifest.load(),
        batch_size,
        engine,
        about={"weights": manifest.name, "sha256": manifest.sha256},
        operating_point=manifest.point(),
        limits=manifest.limits,
    )


def _runnable(trained: TrainedNetwork, batch_size: int, engine: str, **fields: Any) -> Network:
    """A network run by an engine; `fields` are those of `Network` that loading it cannot tell."""
    made = converted_engine(trained, engine, batch_size=batch_size)
    if isinstance(made, str):
        return _compiled(trained, batch_size, engine=made, **fields)
    return Network(
        image_size=trained.model.image_size,
        clip_length=trained.model.clip_length,
        batch_size=batch_size,
        crops=crops_of(trained.metadata),
        **_fields_of(made),
        **fields,
    )


def _compiled(trained: TrainedNetwork, batch_size: int, **fields: Any) -> Network:
    """A network over all devices."""
    model, mesh = trained.model, data_mesh(jax.local_devices())
    variables = replicate(trained.variables, mesh)

    def score(variables: Any, images: jax.Array) -> tuple[jax.Array, dict[str, jax.Array]]:
        found = infer(model, variables, model.preprocess.normalize(images))
        return found.score, found.heatmaps

    step = jax.jit(
        score,
        in_shardings=(replicated(mesh), batch_sharded(mesh)),
        out_shardings=replicated(mesh),
    )

    def run(crops: np.ndarray) -> tuple[jax.Array, dict[str, jax.Array]]:
        found: tuple[jax.Array, dict[str, jax.Array]] = step(
            variables, global_batch({"image": crops}, mesh)["image"]
        )
        return found

    at_once = images_at_once(batch_size, frames=model.clip_length)
    return Network(
        image_size=model.image_size,
        clip_length=model.clip_length,
        batch_size=batch_size,
        run=in_parts(run, -(-at_once // mesh.size) * mesh.size, pad=True),
        crops=crops_of(trained.metadata),
        **fields,
    )


def exported_network(folder: str | Path, *, batch_size: int = 32) -> Network:
    """The network that `matnet export` wrote, in whichever format, on one device.

    Raises:
      FileNotFoundError: there is no such export.
      ModuleNotFoundError: what runs its format is not installed.
      ValueError: it is damaged, or of another platform than this machine's.
    """
    folder = Path(folder)
    details = export_details(folder)
    point = details.get("operating_point")
    return Network(
        image_size=details["image_size"],
        clip_length=details.get("clip_length", 1),  # version 0.1 had no clips
        batch_size=batch_size,
        about={"export": str(folder.absolute()), **details.get("checkpoint", {})},
        crops=crops_of(details),
        operating_point=None if point is None else OperatingPoint.from_json(point),
        limits=details.get("limits", LIMITS),
        **_fields_of(exported_engine(folder, details, batch_size=batch_size)),
    )


def _fields_of(engine: Engine) -> dict[str, Any]:
    def run(crops: np.ndarray) -> tuple[Any, dict[str, Any]]:
        found = engine.run(crops)
        return found.score, found.heatmaps

    return {"run": run, "engine": engine.name}
