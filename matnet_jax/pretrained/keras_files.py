"""Weights that Keras saved, read with h5py alone: legacy `.h5`, `.weights.h5` and `.keras`.

A layer's arrays are taken by position, as Keras itself loads them: their names have changed over
its versions, their order has not.

HDF5 may read a damaged file without end, or crash: it does so in a process of its own, which runs
this file with the path as its argument.
"""

from __future__ import annotations

import io
import json
import pickle
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

_SECONDS = 60.0
_SMALL = 2**24  # bytes
_BYTES_A_SECOND = 5e6  # a slow network disk's


class KerasWeights(NamedTuple):
    """Arrays of every layer in Keras's order, by the layer's name; the model's config if saved."""

    layers: dict[str, list[np.ndarray]]
    config: dict[str, Any] | None


def read_keras(path: Path, *, seconds: float = _SECONDS) -> KerasWeights:
    """Reads a file of weights or of a whole model.

    Args:
      path: of the file.
      seconds: after which reading is given up; large files get more.

    Raises:
      OSError: it is damaged, or Keras did not write it.
      ImportError: h5py is not installed.
    """
    limit = seconds + path.stat().st_size / _BYTES_A_SECOND
    try:
        done = subprocess.run(
            [sys.executable, "-P", __file__, str(path)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=limit,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise OSError(f"HDF5 did not end reading it in {limit:.0f} s") from None
    if done.returncode < 0:
        raise OSError(f"HDF5 crashed on it, with signal {-done.returncode}")
    if done.returncode:
        *_, last = done.stderr.decode(errors="replace").strip().splitlines() or ["no message"]
        kind, _, message = last.partition(": ")
        if kind == "ModuleNotFoundError":
            raise ImportError(message, name="h5py")
        raise OSError(message or kind)
    return KerasWeights(*pickle.loads(done.stdout))  # our own child wrote it


def _read(path: Path) -> KerasWeights:
    if not zipfile.is_zipfile(path):
        return _read_hdf5(path, None)
    with zipfile.ZipFile(path) as archive:
        # Keras compresses nothing: what grows so much was not written by it.
        size = sum(entry.file_size for entry in archive.infolist())
        if size > 4 * path.stat().st_size + _SMALL:
            raise ValueError(f"it unpacks to {size:,} bytes, from {path.stat().st_size:,}")
        config = json.loads(archive.read("config.json"))
        return _read_hdf5(io.BytesIO(archive.read("model.weights.h5")), config)


def _read_hdf5(file: Path | BinaryIO, config: dict[str, Any] | None) -> KerasWeights:
    import h5py

    with h5py.File(file, "r") as root:
        if "model_config" in root.attrs:
            config = json.loads(root.attrs["model_config"])
        group = root.get("model_weights", root)
        if "layer_names" in group.attrs:
            return KerasWeights(_legacy_layers(group), config)
        for layers in ("layers", "_layer_checkpoint_dependencies"):
            if layers in root:
                return KerasWeights(dict(_saved_layers(root[layers], config)), config)
    raise KeyError("no layers: neither 'layer_names' nor a group 'layers'")


def _legacy_layers(group: Any) -> dict[str, list[np.ndarray]]:
    layers: dict[str, list[np.ndarray]] = {}
    for layer in map(_text, group.attrs["layer_names"]):
        for weight in map(_text, group[layer].attrs["weight_names"]):
            # A model inside the model keeps its layers' names in the weights' paths.
            parts = weight.split("/")
            name = parts[-2] if len(parts) > 1 else layer
            layers.setdefault(name, []).append(np.asarray(group[layer][weight]))
    return layers


def _saved_layers(
    group: Any, config: dict[str, Any] | None
) -> Iterator[tuple[str, list[np.ndarray]]]:
    """Groups are named by class and number; the layer's own name is an attribute beside them."""
    names = _names_by_class(config)
    found: list[tuple[str, list[np.ndarray]]] = []

    def visit(path: str, node: Any) -> None:
        parts = path.split("/")
        if parts[-1] != "vars" or "seed_generator" in parts or not len(node):
            return
        own = node.attrs.get("name")
        name = _text(own) if own is not None else names.get(parts[-2], parts[-2])
        found.append((name, [np.asarray(node[i]) for i in sorted(node, key=int)]))

    group.visititems(visit)
    yield from found


def _names_by_class(config: dict[str, Any] | None) -> dict[str, str]:
    """{"conv2d_1": "block1_conv2", …}: what groups are called where no attribute says it."""
    names: dict[str, str] = {}
    counts: dict[str, int] = {}
    for layer in layer_configs(config):
        kind = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", layer["class_name"]).lower()
        number = counts.get(kind, 0)
        counts[kind] = number + 1
        names[f"{kind}_{number}" if number else kind] = layer["config"]["name"]
    return names


def layer_configs(config: dict[str, Any] | None) -> list[dict[str, Any]]:
    """The configs of a model's layers; [] where none was saved."""
    return (config or {}).get("config", {}).get("layers", [])


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


if __name__ == "__main__":
    sys.stdout.buffer.write(pickle.dumps(tuple(_read(Path(sys.argv[1])))))
