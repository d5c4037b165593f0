"""What computes a network's scores: JAX, ONNX Runtime or TensorFlow."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from data_pipeline.cores import usable_cores
from data_pipeline.onnx_runtime import onnx_runtime
from matnet_jax.checkpoints.export import (
    ONNX_FILE,
    PREPROCESS_FILE,
    SAVEDMODEL_FILE,
    STABLEHLO_FILE,
    UnsupportedError,
)
from matnet_jax.checkpoints.network import TrainedNetwork
from matnet_jax.detectors.base import Preprocess
from matnet_jax.evaluation.converted import converted
from matnet_jax.runtime.parts import images_at_once, in_parts

ENGINES = ("auto", "jax", "onnx")
"""Of networks that are trained or handed out; an export is run by what its format is for."""


class Found(NamedTuple):
    """What a network says of crops [B, S, S, 3]; of clips, what `Inference` says.

    Attributes:
      score: P(fake), float32 [B].
      logits: float32 [B, 2].
      heatmaps: float32 [B, h, w, K] by name.
    """

    score: Any
    logits: Any
    heatmaps: dict[str, Any]


Run = Callable[[np.ndarray], Found]


class Engine(NamedTuple):
    """A network that something runs.

    Attributes:
      name: what runs it, in words.
      run: of any number of crops, uint8.
    """

    name: str
    run: Run


def chosen(engine: str) -> str:
    """``jax`` or ``onnx``; ``auto`` is what is fastest here.

    On CPUs that is ONNX Runtime, where it is installed (`benchmarks.inference` compares them); it
    computes for one process alone.

    Raises:
      ValueError: there is no such engine, or not for a job of several processes.
      ModuleNotFoundError: ``onnx`` is asked for, and its packages are missing.
    """
    if engine not in ENGINES:
        raise ValueError(f"unknown engine '{engine}'; available: {', '.join(ENGINES)}")
    missing = [m for m in ("onnx", "onnxruntime") if importlib.util.find_spec(m) is None]
    alone = jax.process_count() == 1
    if engine == "auto":
        return "onnx" if alone and not missing and jax.default_backend() == "cpu" else "jax"
    if engine == "onnx" and not alone:
        raise ValueError("--engine=onnx is for one process, and this job has several")
    if engine == "onnx" and missing:
        raise ModuleNotFoundError(
            f"--engine=onnx needs {' and '.join(missing)}: pip install 'matnet-jax[onnx]'",
            name=missing[0],
        )
    return engine


def converted_engine(
    trained: TrainedNetwork, engine: str = "auto", *, batch_size: int
) -> Engine | str:
    """What runs a trained network in place of JAX; or why JAX does, in words.

    Args:
      engine: one of `ENGINES`.
      batch_size: most crops at once.

    Raises:
      ValueError, ModuleNotFoundError: see `chosen`.
      UnsupportedError, OSError: ``onnx`` is asked for, and cannot take the network, or the one that
        is converted cannot be written.
    """
    jax_itself = f"jax {jax.__version__}"
    if chosen(engine) == "jax":
        return jax_itself
    try:
        folder = converted(trained)
        with contextlib.suppress(OSError, ValueError):  # deleted meanwhile, or damaged
            return exported_engine(folder, export_details(folder), batch_size=batch_size)
        shutil.rmtree(folder, ignore_errors=True)
        folder = converted(trained)
        return exported_engine(folder, export_details(folder), batch_size=batch_size)
    except (UnsupportedError, OSError) as error:
        if engine == "onnx":
            raise
        return f"{jax_itself} ({error})"


def export_details(folder: Path) -> dict[str, Any]:
    """What the `preprocess.json` of an export holds.

    Raises:
      FileNotFoundError: there is none.
    """
    path = folder / PREPROCESS_FILE
    if not path.is_file():
        raise FileNotFoundError(
            f"no {' or '.join(FILES)} with {PREPROCESS_FILE} in {folder}; `matnet export "
            "--workdir=… --out=…` writes them"
        )
    return json.loads(path.read_text(encoding="utf-8"))


def exported_engine(folder: Path, details: Mapping[str, Any], *, batch_size: int) -> Engine:
    """What runs the export in `folder`, in whichever format it is.

    Args:
      details: what its `preprocess.json` holds.
      batch_size: most crops at once; on CPUs see `images_at_once`.

    Raises:
      FileNotFoundError: it holds no network.
      ModuleNotFoundError: what runs its format is not installed.
      ValueError: it is damaged, or for other machines.
    """
    for file, load in _LOADERS.items():
        if (folder / file).is_file():
            engine = load(folder / file, details)
            size = images_at_once(batch_size, frames=details.get("clip_length", 1))
            compiled = file != ONNX_FILE  # for one number of crops
            return engine._replace(run=in_parts(engine.run, size, pad=compiled))
    raise FileNotFoundError(
        f"no {' or '.join(FILES)} in {folder}; `matnet export --workdir=… --out=…` writes them"
    )


def heatmap_names(details: Mapping[str, Any]) -> list[str]:
    """Which outputs of an export are heat maps."""
    # Version 0.1 did not say; its only ones were these.
    return details.get("heatmaps", [n for n in details["outputs"] if n == "attention_maps"])


def _stablehlo(path: Path, details: Mapping[str, Any]) -> Engine:
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
    names = heatmap_names(details)

    @jax.jit
    def step(images: jax.Array) -> Found:
        return _found(exported.call(preprocess.normalize(images)), names)

    return Engine(f"jax {jax.__version__}", lambda crops: step(jnp.asarray(crops)))


def _onnx(path: Path, details: Mapping[str, Any]) -> Engine:
    try:
        onnxruntime = onnx_runtime()
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"{path} needs ONNX Runtime: pip install 'matnet-jax[onnx]'", name=error.name
        ) from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = usable_cores()
    try:
        session = onnxruntime.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # its own kinds
        raise ValueError(f"{path} is damaged ({error}): export it again") from error
    normalized, names = _normalizer(details), heatmap_names(details)
    wanted = ["score", "logits", *names]

    def run(crops: np.ndarray) -> Found:
        out = session.run(wanted, {"images": normalized(crops)})
        return _found(dict(zip(wanted, out, strict=True)), names)

    return Engine(f"onnxruntime {onnxruntime.__version__}", run)


def _savedmodel(path: Path, details: Mapping[str, Any]) -> Engine:
    try:
        import tensorflow as tf
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"{path} needs TensorFlow: pip install 'matnet-jax[data]'", name=error.name
        ) from error
    try:
        loaded = tf.saved_model.load(str(path.parent))
        serve = loaded.signatures["serving_default"]
    except Exception as error:  # its own kinds
        raise ValueError(f"{path.parent} is damaged ({error}): export it again") from error
    normalized, names = _normalizer(details), heatmap_names(details)

    def run(crops: np.ndarray) -> Found:
        images = tf.constant(normalized(crops))
        out = {name: value.numpy() for name, value in serve(images=images).items()}
        return _found(out, names)

    # The signature must live as long as what it belongs to.
    run.loaded = loaded  # type: ignore[attr-defined]
    return Engine(f"tensorflow {tf.__version__}", run)


def _found(out: Mapping[str, Any], heatmaps: Sequence[str]) -> Found:
    return Found(out["score"], out["logits"], {name: out[name] for name in heatmaps})


def _normalizer(details: Mapping[str, Any]) -> Callable[[np.ndarray], np.ndarray]:
    """`Preprocess.normalize` without JAX, which would compile it for every batch."""
    mean, std = (np.asarray(details[name], np.float32) for name in ("mean", "std"))
    return lambda crops: (crops.astype(np.float32) / np.float32(255) - mean) / std


_LOADERS: dict[str, Callable[[Path, Mapping[str, Any]], Engine]] = {
    STABLEHLO_FILE: _stablehlo,
    ONNX_FILE: _onnx,
    SAVEDMODEL_FILE: _savedmodel,
}

FILES = tuple(_LOADERS)
"""By one of which a format is known."""
