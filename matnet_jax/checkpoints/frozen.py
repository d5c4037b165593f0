"""The part of a network that training leaves as a file gave it: its hash stands for it on disk."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
from flax import traverse_util

from matnet_jax.checkpoints.errors import CheckpointMismatchError, FrozenPartError

_PARTS = ("params", "ema_params")  # an average of what stays is that itself


@dataclasses.dataclass(frozen=True)
class Frozen:
    """What a checkpoint leaves out of its parameters and of their average.

    Attributes:
      source: path or URL of the file that has it.
      sha256: see `fingerprint`.
      paths: of the arrays, such as "features/block_0/expand/kernel".
    """

    source: str
    sha256: str
    paths: tuple[str, ...]

    @classmethod
    def from_json(cls, values: Mapping[str, Any] | None) -> Frozen | None:
        """Of `as_json`; None of None, which is what a whole checkpoint has."""
        return None if values is None else cls(**{**values, "paths": tuple(values["paths"])})

    def as_json(self) -> dict[str, Any]:
        """JSON values, for a checkpoint's metadata."""
        return {**dataclasses.asdict(self), "paths": list(self.paths)}


ReadFrozen = Callable[[Frozen], Mapping[str, np.ndarray]]
"""Gives the arrays by their path, or says why it cannot by a `FrozenPartError`."""


def refuse(frozen: Frozen) -> Mapping[str, np.ndarray]:
    """A `ReadFrozen` of those who read whole checkpoints alone."""
    raise FrozenPartError(
        f"the checkpoint holds what trained, not the {len(frozen.paths)} arrays that stayed as "
        f"{frozen.source} has them: load it by matnet_jax.pretrained.trained.load_trained"
    )


def fingerprint(arrays: Mapping[str, np.ndarray]) -> str:
    """SHA-256 of names, types, shapes and values, whatever order they come in."""
    digest = hashlib.sha256()
    for path, array in sorted(arrays.items()):
        digest.update(f"{path} {array.dtype.name} {list(array.shape)}\n".encode())
        little = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
        digest.update(little.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def without(network: Mapping[str, Any], frozen: Frozen | None) -> dict[str, Any]:
    """A saved network's trees by name, of which the arrays that are `frozen` are left out."""
    if frozen is None:
        return dict(network)
    left_out = set(frozen.paths)

    def kept(tree: Any) -> dict[str, Any]:
        return _nested({path: x for path, x in _flat(tree).items() if path not in left_out})

    return {name: kept(tree) if _has(name, tree) else tree for name, tree in network.items()}


def filled(
    network: Mapping[str, Any], arrays: Mapping[str, np.ndarray], abstract: Mapping[str, Any]
) -> dict[str, Any]:
    """What `without` left of a network, with `arrays` by path put back in.

    Args:
      network: trees of arrays by name.
      arrays: what was left out.
      abstract: the whole network as `jax.ShapeDtypeStruct`s with shardings.

    Raises:
      CheckpointMismatchError: the network has one of them otherwise, or not at all.
    """

    def whole(name: str, tree: Any) -> Any:
        wanted = _flat(abstract[name])
        for path, array in arrays.items():
            if path not in wanted or wanted[path].shape != array.shape:
                has = list(wanted[path].shape) if path in wanted else "no such array"
                raise CheckpointMismatchError(
                    f"the checkpoint is of another network: {path} is {list(array.shape)} in the "
                    f"file of its frozen part, and the network has {has}"
                )
        laid = {path: _laid_out(array, wanted[path]) for path, array in arrays.items()}
        return _nested(_flat(tree) | laid)

    return {n: whole(n, tree) if _has(n, tree) else tree for n, tree in network.items()}


def _laid_out(array: np.ndarray, wanted: jax.ShapeDtypeStruct) -> jax.Array:
    return jax.make_array_from_callback(wanted.shape, wanted.sharding, lambda part: array[part])


def _has(name: str, tree: Any) -> bool:
    return name in _PARTS and tree is not None


def _flat(tree: Any) -> dict[str, Any]:
    return traverse_util.flatten_dict(tree, sep="/", keep_empty_nodes=True)


def _nested(flat: Mapping[str, Any]) -> dict[str, Any]:
    return traverse_util.unflatten_dict(flat, sep="/")
