"""A model's initial variables from any checkpoint: ours, the authors', or ImageNet's."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from matnet_jax.detectors.assembly import assemble, is_under, variable_shapes
from matnet_jax.detectors.backboned import BackboneDetector
from matnet_jax.detectors.base import Detector
from matnet_jax.detectors.classifier import PlainClassifier
from matnet_jax.pretrained.families import recognize
from matnet_jax.pretrained.fetch import fetch
from matnet_jax.pretrained.files import CheckpointFileError, read_file
from matnet_jax.pretrained.weights import Weights, own_weights

_log = logging.getLogger(__name__)


def read_weights(
    source: str | Path, *, sha256: str | None = None, cache_dir: str | Path | None = None
) -> Weights:
    """Reads a checkpoint and converts it to our paths, whatever model it is for.

    Args:
      source: a path or URL of a .pth, .safetensors, .h5 or .keras file; or a folder of this
        library: a workdir (its best checkpoint is taken), its `checkpoints`, or one of those.
      sha256: that the file must have.
      cache_dir: for downloads; `$MATNET_CACHE` or the user's cache folder by default.

    Raises:
      FileNotFoundError: there is no such file or folder.
      CheckpointFileError: it cannot be fetched or read, or is of no known network.
    """
    path = fetch(source, sha256=sha256, cache_dir=cache_dir)
    return _read_own(path) if path.is_dir() else recognize(read_file(path), path)


def _read_own(path: Path) -> Weights:
    from matnet_jax.checkpoints.orbax import Checkpoints
    from matnet_jax.pretrained.frozen import saved_arrays

    which: int | None = None
    if (path / "checkpoints").is_dir():
        path = path / "checkpoints"
    elif path.name.isdecimal() and (path / "model").is_dir():
        path, which = path.parent, int(path.name)
    elif not any(child.name.isdecimal() for child in path.iterdir()):
        raise CheckpointFileError(
            f"{path} holds no checkpoint of this library; give a workdir, its 'checkpoints', or "
            "one of the numbered folders in that"
        )
    with Checkpoints(path, read_only=True) as checkpoints:
        # A converted checkpoint has no validation to be best by.
        step = checkpoints.best_step if which is None else which
        step = checkpoints.resolve("latest" if step is None else step)
        metadata = checkpoints.metadata(step)
        return own_weights(saved_arrays(checkpoints, step, metadata), metadata)


def initialize(
    model: Detector,
    source: str | Path | Weights,
    *,
    prefixes: Sequence[str] | None = None,
    strict: bool = True,
    seed: int = 0,
    sha256: str | None = None,
    cache_dir: str | Path | None = None,
) -> dict[str, Any]:
    """Variables of `model` with those of a checkpoint in place of initial values.

    Args:
      model: its variables say what is wanted.
      source: as in `read_weights`, or what that gave.
      prefixes: parts to take, such as ["features"] (in every collection) or ["params/head"];
        within them every array must agree. By default everything, or the model's `trunks` alone
        where the source is a plain classifier and the model is of another family or has another
        number of classes.
      strict: refuse differences. Otherwise every array of equal path and shape is taken, as the
        authors' script does, and a warning lists what keeps its initial value.
      seed: of the initial values.
      sha256, cache_dir: as in `read_weights`.

    Returns:
      {"params", "batch_stats", "feature_centers"} of float32 NumPy arrays.

    Raises:
      WeightsMismatchError: arrays are missing, unexpected or of another shape.
      ValueError: the model has nothing under a prefix.
      FileNotFoundError, CheckpointFileError: as in `read_weights`.
    """
    weights = (
        source
        if isinstance(source, Weights)
        else read_weights(source, sha256=sha256, cache_dir=cache_dir)
    )
    if prefixes is None and strict:
        prefixes = default_prefixes(weights, model)
    variables = assemble(
        model,
        model.adopt(weights.arrays) if weights.is_backbone else weights.arrays,
        unexpected=weights.unexpected,
        prefixes=prefixes,
        strict=strict,
        seed=seed,
    )
    _warn_of_fields(weights, model)
    rest = left_at_random(model, prefixes)
    if rest:
        _log.info("took %s from %s; at initial values: %s", prefixes, weights.family, rest)
    return variables


def from_pretrained(
    source: str | Path,
    model: Detector,
    *,
    sha256: str | None = None,
    cache_dir: str | Path | None = None,
    strict: bool = True,
    seed: int = 0,
) -> dict[str, Any]:
    """Variables of `model` from a checkpoint's path or URL; `initialize` with everything taken."""
    return initialize(model, source, sha256=sha256, cache_dir=cache_dir, strict=strict, seed=seed)


def model_fields(
    source: str | Path | Weights,
    *,
    sha256: str | None = None,
    cache_dir: str | Path | None = None,
) -> dict[str, Any]:
    """Fields that a model needs for these weights: `create_model(…, **model_fields(path))`.

    ``mean`` and ``std`` of pixels in [0, 1], and for Keras's weights ``batch_norm_epsilon`` and
    ``same_max_pool``. Arguments and errors are those of `read_weights`.
    """
    if not isinstance(source, Weights):
        source = read_weights(source, sha256=sha256, cache_dir=cache_dir)
    return dict(source.fields)


def default_prefixes(weights: Weights, model: Detector) -> tuple[str, ...] | None:
    """What `initialize` takes unless told: None for everything."""
    if not weights.is_backbone:
        return None
    head = weights.arrays.get("params/head/bias")
    same_head = (
        isinstance(model, PlainClassifier) and head is not None and len(head) == model.num_classes
    )
    return None if same_head else model.trunks


def left_at_random(model: Detector, prefixes: Sequence[str] | None) -> tuple[str, ...]:
    """The parts of a model that loading `prefixes` leaves at their initial values."""
    if prefixes is None:
        return ()
    paths = [path for path in variable_shapes(model) if not is_under(path, prefixes)]
    return tuple(sorted({path.split("/")[1] for path in paths}))


def differing_fields(fields: Mapping[str, Any], model: Detector) -> dict[str, Any]:
    """Those of `fields` that the model has otherwise."""
    return {name: value for name, value in fields.items() if not _equal(value, _has(model, name))}


def _has(model: Detector, field: str) -> Any:
    if field in ("batch_norm_epsilon", "same_max_pool") and isinstance(model, BackboneDetector):
        backbone = model.make_backbone()  # None in the model is the backbone's own
        if field == "batch_norm_epsilon":
            return getattr(getattr(backbone, "norm", None), "epsilon", None)
        return getattr(backbone, field, None)
    return getattr(model, field, None)


def _warn_of_fields(weights: Weights, model: Detector) -> None:
    other = differing_fields(weights.fields, model)
    if other:
        wanted = ", ".join(f"{name}={value}" for name, value in other.items())
        now = ", ".join(f"{name}={_has(model, name)}" for name in other)
        warnings.warn(
            f"the weights ({weights.family}) were made for {wanted}; the model has {now}. Set them "
            "in config.model, or create the model with **model_fields(source)",
            stacklevel=3,
        )


def _equal(a: Any, b: Any) -> bool:
    if a is None or b is None:
        return a is b
    return np.shape(a) == np.shape(b) and np.allclose(a, b, rtol=1e-4, atol=1e-6)


def describe(weights: Weights) -> Mapping[str, Any]:
    """What `inspect` prints: family, number of arrays and values, fields, unknown keys."""
    return {
        "family": weights.family,
        "arrays": len(weights.arrays),
        "values": int(sum(array.size for array in weights.arrays.values())),
        "fields": dict(weights.fields),
        "unknown": list(weights.unexpected),
    }
