"""Strict assembly of a model's variables from named arrays, whole or by prefix."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from flax import traverse_util

from matnet_jax.detectors.base import Detector
from matnet_jax.detectors.variables import abstract_variables, init_variables

_SHOWN = 20


class WeightsMismatchError(ValueError):
    """A checkpoint and a model differ; the message is a +/− list of keys."""


def variable_shapes(model: Detector) -> dict[str, tuple[int, ...]]:
    """Shapes of a model's variables by path: {"params/head/logits/kernel": (256, 2), …}."""
    flat = traverse_util.flatten_dict(abstract_variables(model), sep="/")
    return {path: leaf.shape for path, leaf in flat.items()}


def flatten(variables: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Arrays by path: {"params/head/logits/kernel": …, "batch_stats/…": …}."""
    flat = traverse_util.flatten_dict(dict(variables), sep="/")
    return {path: np.asarray(leaf) for path, leaf in flat.items()}


def assemble(
    model: Detector,
    arrays: Mapping[str, np.ndarray],
    *,
    unexpected: Sequence[str] = (),
    prefixes: Sequence[str] | None = None,
    strict: bool = True,
    seed: int = 0,
) -> dict[str, Any]:
    """Variables of `model` filled with `arrays`.

    Args:
      model: says which paths and shapes there are.
      arrays: by our path, "params/…", "batch_stats/…" or "feature_centers/…".
      unexpected: foreign keys that no rule could name.
      prefixes: only these parts are filled and compared, the rest keeps its initial values:
        "features" is that module in every collection, "params/head" in one. None for everything.
      strict: refuse any difference. Otherwise every array of equal path and shape is taken, the
        rest keeps its initial values, and a warning lists what that is.
      seed: of the initial values.

    Raises:
      WeightsMismatchError: differences under `strict`, or not one array in common.
      ValueError: the model has nothing under one of the prefixes.
    """
    shapes = variable_shapes(model)
    if prefixes is not None:
        _check_prefixes(prefixes, shapes)
        shapes = {path: shape for path, shape in shapes.items() if is_under(path, prefixes)}
        arrays = {path: array for path, array in arrays.items() if is_under(path, prefixes)}
    missing = sorted(set(shapes) - set(arrays))
    foreign = sorted((set(arrays) - set(shapes)) | set(unexpected))
    misshapen = sorted(
        path for path in set(shapes) & set(arrays) if tuple(arrays[path].shape) != shapes[path]
    )
    usable = set(shapes) & set(arrays) - set(misshapen)
    if missing or foreign or misshapen:
        lines = [f"− {path} {list(shapes[path])}: missing" for path in missing]
        lines += [f"+ {path}: not in the model" for path in foreign]
        lines += [
            f"± {path}: the checkpoint has {list(arrays[path].shape)}, "
            f"the model {list(shapes[path])}"
            for path in misshapen
        ]
        report = _report(lines, len(missing), len(foreign), len(misshapen))
        if strict or not usable:
            raise WeightsMismatchError(
                f"{report}\nNothing was loaded. Is it a checkpoint of {model.description}? "
                "strict=False loads what fits and leaves the rest at its initial values; "
                "prefixes=['features'] loads the backbone alone."
            )
        warnings.warn(
            f"{report}\nLoaded the {len(usable)} that fit; missing (−) and misshapen (±) ones keep "
            f"their initial values (seed {seed}).",
            stacklevel=2,
        )
    # Where every array is given, initial values would be drawn for nothing.
    complete = prefixes is None and usable == set(shapes)
    initial = {} if complete else init_variables(model, seed)
    flat = traverse_util.flatten_dict(initial, sep="/", keep_empty_nodes=True)
    flat |= {path: np.asarray(arrays[path], np.float32) for path in usable}
    return traverse_util.unflatten_dict(flat, sep="/")


def is_under(path: str, prefixes: Sequence[str]) -> bool:
    """Whether a variable's path is under a prefix that names its collection or leaves it out."""
    _, _, inner = path.partition("/")
    return any(
        candidate == prefix or candidate.startswith(f"{prefix}/")
        for prefix in (prefix.strip("/") for prefix in prefixes)
        for candidate in (path, inner)
    )


def _check_prefixes(prefixes: Sequence[str], shapes: Mapping[str, Any]) -> None:
    if isinstance(prefixes, str):
        raise ValueError(f"prefixes is a list of paths, such as ['{prefixes}'], not a string")
    for prefix in prefixes:
        if not any(is_under(path, [prefix]) for path in shapes):
            modules = sorted({path.split("/")[1] for path in shapes})
            raise ValueError(
                f"the model has nothing under '{prefix}'; its parts: {', '.join(modules)}"
            )


def _report(lines: list[str], missing: int, foreign: int, misshapen: int) -> str:
    more = f"\n… and {len(lines) - _SHOWN} more" if len(lines) > _SHOWN else ""
    head = f"checkpoint and model differ: {missing} missing (−), {foreign} unexpected (+), "
    return f"{head}{misshapen} of another shape (±)\n" + "\n".join(lines[:_SHOWN]) + more
