"""What stayed frozen in a training, from the file of weights that training started from."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from matnet_jax.checkpoints.errors import FrozenPartError
from matnet_jax.checkpoints.frozen import Frozen, fingerprint
from matnet_jax.checkpoints.orbax import Checkpoints
from matnet_jax.checkpoints.state import named_arrays
from matnet_jax.detectors.assembly import flatten
from matnet_jax.pretrained.families import recognize
from matnet_jax.pretrained.fetch import fetch
from matnet_jax.pretrained.files import CheckpointFileError, read_file


def frozen_part(
    source: str, arrays: Mapping[str, np.ndarray], params: Any, paths: Collection[str]
) -> Frozen | None:
    """What of a network a file of weights has as it is, and training will not change.

    Args:
      source: path or URL of the file.
      arrays: what it holds, by our path, see `Weights`.
      params: the network's parameters before the first step.
      paths: of those that are frozen.

    Returns:
      None where there is nothing of the kind. A folder has none either: what a workdir holds goes
      with its next checkpoint.
    """
    if not _is_url(source) and Path(source).expanduser().is_dir():
        return None
    own = flatten(params)
    found = {path: own[path] for path in paths if _same(arrays.get(f"params/{path}"), own[path])}
    if not found:
        return None
    return Frozen(_absolute(source), fingerprint(found), tuple(sorted(found)))


def found_at(frozen: Frozen, source: str) -> Frozen:
    """The same, recorded as `source`'s where that is a file."""
    if _is_url(source) or not Path(source).expanduser().is_file():
        return frozen
    return dataclasses.replace(frozen, source=_absolute(source))


def _same(given: np.ndarray | None, own: np.ndarray) -> bool:
    return given is not None and np.array_equal(np.asarray(given, own.dtype), own)


def read_frozen(
    frozen: Frozen, workdir: Path, *, sources: Sequence[str] | None = None
) -> dict[str, np.ndarray]:
    """The arrays of a frozen part by `Frozen.paths`, float32.

    Args:
      frozen: what a checkpoint says of it.
      workdir: of the checkpoint; the file may have been put there.
      sources: other paths and URLs to look at first, "" for none: what ``config.init.path`` says.
        None where there is no config to say it.

    Raises:
      FrozenPartError: the file is nowhere, cannot be read, or is another one.
    """
    name = Path(frozen.source).name
    places = [*filter(None, sources or ()), str(workdir / name), frozen.source]
    todo = f"put the file into {workdir}, or a link to it, under its name {name}"
    if sources is not None:
        todo += "; or say where it is by --config.init.path"
    try:
        path = _find(places)
        arrays = recognize(read_file(path), path).arrays
    except (CheckpointFileError, FileNotFoundError) as error:
        raise FrozenPartError(
            f"the network in {workdir} has its frozen part, {len(frozen.paths)} arrays, in "
            f"{frozen.source}, which cannot be read ({error}): {todo}"
        ) from error
    names = {path: f"params/{path}" for path in frozen.paths}
    found = {
        path: np.asarray(arrays[name], np.float32) for path, name in names.items() if name in arrays
    }
    if len(found) < len(names):
        missing = [path for path in names if path not in found]
        said = f"it lacks {len(missing)} of these, such as {missing[0]}"
    elif (got := fingerprint(found)) != frozen.sha256:
        said = f"these have the SHA-256 {got}, wanted {frozen.sha256}"
    else:
        return found
    raise FrozenPartError(
        f"{path} is not the file that the network in {workdir} was trained on, whose "
        f"{len(frozen.paths)} frozen arrays came from {frozen.source}: {said}; {todo}"
    )


def _find(places: Sequence[str]) -> Path:
    for place in places:
        if not _is_url(place) and (path := Path(place).expanduser()).is_file():
            return path
    for place in places:
        if _is_url(place):
            return fetch(place)
    raise FileNotFoundError(f"there is no file {' or '.join(dict.fromkeys(places))}")


def _is_url(source: str) -> bool:
    return "://" in source


def _absolute(source: str) -> str:
    return source if _is_url(source) else str(Path(source).expanduser().absolute())


def saved_arrays(
    checkpoints: Checkpoints,
    step: int,
    metadata: Mapping[str, Any],
    *,
    sources: Sequence[str] | None = None,
) -> dict[str, np.ndarray]:
    """The arrays of a checkpoint's network by path, with what the checkpoint left out.

    Args:
      checkpoints: of a workdir.
      step: of the checkpoint.
      metadata: the checkpoint's.
      sources: see `read_frozen`.

    Raises:
      CheckpointError: it cannot be read.
      FrozenPartError: see `read_frozen`, as for `sources`.
    """
    arrays = named_arrays(checkpoints.read_model(step))
    frozen = Frozen.from_json(metadata.get("frozen"))
    if frozen is not None:
        others = read_frozen(frozen, checkpoints.directory.parent, sources=sources)
        arrays |= {f"params/{path}": array for path, array in others.items()}
    return arrays
