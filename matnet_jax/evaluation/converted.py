"""Networks converted to ONNX once, and kept: `onnx/KEY` in the cache folder is an export."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import shutil
from pathlib import Path

import jax
import numpy as np

import matnet_jax
from data_pipeline.files import cache_folder
from matnet_jax.checkpoints.export import export_onnx
from matnet_jax.checkpoints.network import TrainedNetwork
from matnet_jax.detectors.assembly import flatten

KEPT = 8
"""Networks; the oldest go first."""
_CODE = ("backbones", "checkpoints/export", "detectors", "nn")
"""Folders of this package that say what a network computes, and how that is converted."""


def converted(trained: TrainedNetwork) -> Path:
    """The folder of a network's ONNX export, made unless it is there.

    It may be deleted at any time.

    Raises:
      UnsupportedError: ONNX cannot take the network.
      OSError: the folder cannot be written.
    """
    folder = cache_folder() / "onnx" / content_key(trained)
    if folder.is_dir():
        with contextlib.suppress(OSError):
            os.utime(folder)  # in use: it goes last
        return folder
    try:
        export_onnx(trained.model, trained.variables, folder)
    except OSError:
        if not folder.is_dir():  # else another process was first
            raise
    _tidy(folder.parent)
    return folder


def _tidy(cache: Path) -> None:
    """Deletes the oldest; other processes may do the same, and write new ones."""
    ages = {}
    for path in cache.glob("[!.]*"):
        with contextlib.suppress(OSError):  # gone meanwhile
            ages[path] = path.stat().st_mtime
    for old in sorted(ages, key=ages.__getitem__)[:-KEPT]:
        shutil.rmtree(old, ignore_errors=True)


def content_key(trained: TrainedNetwork) -> str:
    """What tells a network from every other: its arrays, its config, and the code it is of."""
    told = {
        "config": trained.metadata["config"],
        "preprocess": dataclasses.asdict(trained.model.preprocess),
        "jax": jax.__version__,
    }
    digest = hashlib.sha256(json.dumps(told, sort_keys=True).encode())
    root = Path(matnet_jax.__file__).parent
    for name in _CODE:
        for path in sorted((root / name).rglob("*.py")):
            digest.update(path.read_bytes())
    for name, array in sorted(flatten(trained.variables).items()):
        digest.update(f"{name} {array.dtype} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:32]
