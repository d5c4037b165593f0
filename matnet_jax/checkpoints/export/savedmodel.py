"""A TensorFlow SavedModel by `jax2tf`: the same StableHLO, run by TensorFlow."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from matnet_jax.checkpoints.export.interface import export_folder, interface, outputs, prepared
from matnet_jax.checkpoints.export.stablehlo import PLATFORMS
from matnet_jax.detectors.base import Detector

SAVEDMODEL_FILE = "saved_model.pb"
_READ_BY_TENSORFLOW = "1.13.0"  # StableHLO, of TensorFlow 2.21; JAX 0.12 writes 1.18


def export_savedmodel(
    model: Detector,
    variables: Mapping[str, Any],
    out: str | Path,
    *,
    platforms: Sequence[str] = PLATFORMS,
    about: Mapping[str, Any] | None = None,
) -> Path:
    """Writes a TF SavedModel, signature ``serving_default(images)``, into a new folder `out`.

    Its weights are TensorFlow variables, and `preprocess.json` lies beside. Arguments and errors
    as in `export_stablehlo`.

    Raises:
      ModuleNotFoundError: TensorFlow is not installed.
      OSError: the files can't be written; there is nothing of them then.
    """
    try:
        import tensorflow as tf
        from jax.experimental import jax2tf
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "a SavedModel needs TensorFlow: pip install 'matnet-jax[data]'", name=error.name
        ) from error
    model, variables = prepared(model, variables)
    function = jax2tf.convert(
        functools.partial(outputs, model),
        polymorphic_shapes=[None, f"(b, {', '.join(map(str, model.input_shape))})"],
        with_gradient=False,
        native_serialization_platforms=tuple(platforms),
    )
    module = tf.Module()
    # The attribute makes them the module's own; constants instead would be one huge graph.
    module.network = jax.tree.map(lambda x: tf.Variable(np.asarray(x), trainable=False), variables)
    images = tf.TensorSpec([None, *model.input_shape], tf.float32, name="images")
    module.predict = tf.function(
        lambda images: function(module.network, images), input_signature=[images], autograph=False
    )
    described = interface(model, variables) | {"platforms": list(platforms), **(about or {})}
    with export_folder(out, described) as folder, _readable_by_tensorflow():
        try:
            tf.saved_model.save(module, str(folder), signatures={"serving_default": module.predict})
        except tf.errors.OpError as error:  # as on a full disk
            raise OSError(
                f"TensorFlow cannot write the SavedModel {out}: {error.message}; make room there, "
                "or give another folder"
            ) from error
    return Path(out)


@contextlib.contextmanager
def _readable_by_tensorflow() -> Iterator[None]:
    """Within it JAX writes no newer StableHLO than TensorFlow reads.

    JAX asks for what tools of four weeks ago can read, and has no setting for older ones.
    """
    from jaxlib.mlir.dialects import stablehlo

    of_jax = stablehlo.get_version_from_compatibility_requirement

    def older(requirement: Any) -> str:
        versions = (of_jax(requirement), _READ_BY_TENSORFLOW)
        return min(versions, key=lambda version: tuple(map(int, version.split("."))))

    stablehlo.get_version_from_compatibility_requirement = older
    try:
        yield
    finally:
        stablehlo.get_version_from_compatibility_requirement = of_jax
