"""StableHLO by `jax.export`: one file for CPUs, GPUs and TPUs, which JAX alone runs."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from matnet_jax.checkpoints.export.interface import (
    Outputs,
    export_folder,
    interface,
    outputs,
    prepared,
)
from matnet_jax.detectors.base import Detector

PLATFORMS = ("cpu", "cuda", "tpu")
STABLEHLO_FILE = "model.stablehlo"


def export_stablehlo(
    model: Detector,
    variables: Mapping[str, Any],
    out: str | Path,
    *,
    platforms: Sequence[str] = PLATFORMS,
    about: Mapping[str, Any] | None = None,
) -> Path:
    """Writes `model.stablehlo`, weights included, and `preprocess.json` into a new folder `out`.

    `jax.export.deserialize(data).call(images)` runs it, with JAX alone installed.

    Args:
      variables: what `model.apply` takes.
      platforms: that one file runs on.
      about: JSON values to keep beside it, such as the checkpoint's step.

    Raises:
      FileExistsError: `out` is there already.
      ValueError: an unknown platform.
    """
    unknown = sorted(set(platforms) - {*PLATFORMS, "rocm"})
    if unknown or not platforms:
        raise ValueError(f"unknown platforms {unknown}; available: {', '.join(PLATFORMS)}")
    model, variables = prepared(model, variables)

    def function(images: jax.Array) -> Outputs:
        return outputs(model, variables, images)

    shape = jax.export.symbolic_shape(f"b,{','.join(map(str, model.input_shape))}")
    with _no_source_locations():
        exported = jax.export.export(jax.jit(function), platforms=tuple(platforms))(
            jax.ShapeDtypeStruct(shape, jnp.float32)
        )
    described = interface(model, variables) | {"platforms": list(platforms), **(about or {})}
    with export_folder(out, described) as folder:
        (folder / STABLEHLO_FILE).write_bytes(exported.serialize())
    return Path(out)


@contextlib.contextmanager
def _no_source_locations() -> Iterator[None]:
    """Keeps this machine's paths out of the file, and equal exports equal."""
    name = "jax_traceback_in_locations_limit"
    before = getattr(jax.config, name)
    jax.config.update(name, 0)
    try:
        yield
    finally:
        jax.config.update(name, before)
