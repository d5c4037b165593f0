"""Strict assembly of a model's variables from named arrays."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import traverse_util

from matnet_jax.model import MAT, PlainClassifier, init_variables

_log = logging.getLogger(__name__)
_SHOWN = 20


class CheckpointMismatchError(ValueError):
    """A checkpoint and a model differ; the message is a +/− list of keys."""


def variable_shapes(model: MAT | PlainClassifier) -> dict[str, tuple[int, ...]]:
    """Shapes of a model's variables by path: {"params/head/logits/kernel": (256, 2), …}."""
    size = model.image_size
    images = jax.ShapeDtypeStruct((1, size, size, 3), jnp.float32)
    variables = jax.eval_shape(lambda x: model.init(jax.random.key(0), x), images)
    flat = traverse_util.flatten_dict(variables, sep="/")
    return {path: leaf.shape for path, leaf in flat.items()}


def assemble(
    model: MAT | PlainClassifier,
    arrays: Mapping[str, np.ndarray],
    *,
    unexpected: tuple[str, ...] = (),
    strict: bool = True,
    seed: int = 0,
) -> dict[str, Any]:
    """Variables of `model` filled with `arrays`.

    Args:
      model: says which paths and shapes there are.
      arrays: by our path, "params/…", "batch_stats/…" or "feature_centers/…".
      unexpected: foreign keys that no rule could name.
      strict: refuse any difference. Otherwise missing and wrongly shaped leaves keep their initial
        values by `seed`, and a warning lists them.

    Raises:
      CheckpointMismatchError: differences under `strict`, or not one leaf in common.
    """
    shapes = variable_shapes(model)
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
            raise CheckpointMismatchError(
                f"{report}\nNothing was loaded. Is it a checkpoint of {_describe(model)}? "
                "strict=False loads what fits and leaves the rest at its initial values."
            )
        _log.warning("%s\nLoaded the %d that fit.", report, len(usable))
    flat = traverse_util.flatten_dict(init_variables(model, seed), sep="/", keep_empty_nodes=True)
    flat |= {path: np.asarray(arrays[path], np.float32) for path in usable}
    return traverse_util.unflatten_dict(flat, sep="/")


def _report(lines: list[str], missing: int, foreign: int, misshapen: int) -> str:
    more = f"\n… and {len(lines) - _SHOWN} more" if len(lines) > _SHOWN else ""
    head = f"checkpoint and model differ: {missing} missing (−), {foreign} unexpected (+), "
    return f"{head}{misshapen} of another shape (±)\n" + "\n".join(lines[:_SHOWN]) + more


def _describe(model: MAT | PlainClassifier) -> str:
    if isinstance(model, MAT):
        return (
            f"MAT on {model.backbone} (M = {model.num_attentions}, texture {model.texture_stage} "
            f"{model.texture_version}, attention {model.attention_stage} "
            f"{model.attention_version})"
        )
    return f"a plain classifier on {model.backbone}"
