"""A trained network as a function of face crops: of a workdir, of weights, or of an export."""

import dataclasses
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from data_pipeline.extract.protocol import CropProtocol
from matnet_jax.checkpoints.crops import crops_of
from matnet_jax.checkpoints.network import TrainedNetwork
from matnet_jax.checkpoints.operating_point import read_operating_point
from matnet_jax.detectors.base import Preprocess
from matnet_jax.detectors.inference import infer
from matnet_jax.metrics.operating_point import OperatingPoint
from matnet_jax.pretrained.export import PREPROCESS_FILE, STABLEHLO_FILE
from matnet_jax.pretrained.manifest import LIMITS
from matnet_jax.pretrained.packaged import find
from matnet_jax.pretrained.trained import load_trained
from matnet_jax.report.overlays import joined_heatmaps
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
      batch_size: of the one shape that is compiled; a multiple of the devices.
      about: what it is, as JSON values: checkpoint and step.
      crops: how the faces were cut that it was trained on; None where that is not known.
      run: uint8 [batch_size, S, S, 3], or clips [batch_size, T, S, S, 3] -> scores [batch_size],
        or of each frame of a clip [batch_size, T]; and heat maps [..., h, w, K] by name.
      operating_point: what an evaluation fitted for its scores; None where none did.
      limits: what the operating point does not help against, in words.
      clip_length: frames of a person's face that it takes at once.
    """

    image_size: int
    batch_size: int
    about: Mapping[str, Any]
    run: Callable[[np.ndarray], tuple[jax.Array, dict[str, jax.Array]]]
    crops: CropProtocol | None = None
    operating_point: OperatingPoint | None = None
    limits: str = LIMITS
    clip_length: int = 1

    def __call__(self, crops: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """Scores up to `batch_size` crops, or clips.

        Args:
          crops: uint8 RGB [n, S, S, 3], or clips [n, T, S, S, 3].

        Returns:
          P(fake) float32 [n], and heat maps float32 [n, h, w, K]; None of a network without them.
          Where each frame of a clip is judged, [n, T] and [n, T, h, w, K].
        """
        padded = np.zeros((self.batch_size, *crops.shape[1:]), np.uint8)
        padded[: len(crops)] = crops
        scores, heatmaps = jax.device_get(self.run(padded))
        maps = joined_heatmaps(heatmaps)[: len(crops)] if heatmaps else None
        return scores[: len(crops)], maps


def trained_network(
    workdir: str | Path, *, checkpoint: str | int = "best", batch_size: int = 32
) -> Network:
    """The network of a checkpoint, over all devices of this process.

    Raises:
      CheckpointError, ConfigError: see `load_trained`.
    """
    trained = load_trained(workdir, checkpoint)
    return _compiled(
        trained,
        batch_size,
        about={"workdir": str(Path(workdir).absolute()), "step": trained.step},
        operating_point=read_operating_point(workdir, step=trained.step),
    )


def packaged_network(name: str | Path | None = None, *, batch_size: int = 32) -> Network:
    """The network of weights that are handed out, over all devices of this process.

    Args:
      name: see `find`; None for the default.
      batch_size: see `Network`.

    Raises:
      WeightsError: there are no such weights, or they are damaged.
    """
    manifest = find(name)
    return _compiled(
        manifest.load(),
        batch_size,
        about={"weights": manifest.name, "sha256": manifest.sha256},
        operating_point=manifest.point(),
        limits=manifest.limits,
    )


def _compiled(trained: TrainedNetwork, batch_size: int, **fields: Any) -> Network:
    """A network over all devices; `fields` are those of `Network` that loading it cannot tell."""
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
    return Network(
        image_size=model.image_size,
        clip_length=model.clip_length,
        batch_size=-(-batch_size // mesh.size) * mesh.size,
        run=lambda crops: step(variables, global_batch({"image": crops}, mesh)["image"]),
        crops=crops_of(trained.metadata),
        **fields,
    )


def exported_network(folder: str | Path, *, batch_size: int = 32) -> Network:
    """The network that `python -m matnet_jax.pretrained.export` wrote as StableHLO, on one device.

    Raises:
      FileNotFoundError: there is no such export.
      ValueError: it is damaged, or of another platform than this machine's.
    """
    folder = Path(folder)
    path = folder / STABLEHLO_FILE
    if not path.is_file() or not (folder / PREPROCESS_FILE).is_file():
        raise FileNotFoundError(
            f"no {STABLEHLO_FILE} and {PREPROCESS_FILE} in {folder}; "
            "`python -m matnet_jax.pretrained.export --workdir=… --out=…` writes them"
        )
    details = json.loads((folder / PREPROCESS_FILE).read_text(encoding="utf-8"))
    try:
        exported = jax.export.deserialize(bytearray(path.read_bytes()))
    except Exception as error:  # flatbuffers' own kinds
        raise ValueError(f"{path} is damaged ({error}): export it again") from error
    backend = {"gpu": "cuda"}.get(jax.default_backend(), jax.default_backend())
    if backend not in exported.platforms:
        raise ValueError(
            f"{path} is for {', '.join(exported.platforms)}, and this machine has {backend}: "
            f"export it again with --platforms={backend}"
        )
    preprocess = Preprocess(details["image_size"], tuple(details["mean"]), tuple(details["std"]))
    # Version 0.1 did not say which outputs are heat maps; its only ones were these.
    point = details.get("operating_point")
    names = details.get("heatmaps", [n for n in details["outputs"] if n == "attention_maps"])

    @jax.jit
    def step(images: jax.Array) -> tuple[jax.Array, dict[str, jax.Array]]:
        out = exported.call(preprocess.normalize(images))
        return out["score"], {name: out[name] for name in names}

    return Network(
        image_size=details["image_size"],
        clip_length=details.get("clip_length", 1),  # version 0.1 had no clips
        batch_size=batch_size,
        about={"export": str(folder.absolute()), **details.get("checkpoint", {})},
        run=lambda crops: step(jnp.asarray(crops)),
        crops=crops_of(details),
        operating_point=None if point is None else OperatingPoint.from_json(point),
    )
