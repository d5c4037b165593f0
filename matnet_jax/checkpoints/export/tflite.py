"""TFLite by TensorFlow's converter, of the same StableHLO as the SavedModel; a batch of one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matnet_jax.checkpoints.export.interface import export_folder, interface, prepared
from matnet_jax.detectors.base import Detector
from matnet_jax.detectors.inference import infer

TFLITE_FILE = "model.tflite"


def export_tflite(
    model: Detector,
    variables: Mapping[str, Any],
    out: str | Path,
    *,
    about: Mapping[str, Any] | None = None,
) -> Path:
    """Writes `model.tflite`, weights included, and `preprocess.json` into a new folder `out`.

    Its signature ``serving_default(images)`` takes one image, [1, S, S, 3]. Arguments as in
    `export_onnx`.

    Raises:
      FileExistsError: `out` is there already.
      ModuleNotFoundError: TensorFlow is not installed.
      ValueError: TensorFlow's converter cannot take the network; its own words follow.
    """
    try:
        import tensorflow as tf
        from jax.experimental import jax2tf
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "a TFLite file needs TensorFlow: pip install 'matnet-jax[data]'", name=error.name
        ) from error
    model, variables = prepared(model, variables)
    size = model.image_size
    function = jax2tf.convert(
        lambda images: infer(model, variables, images).arrays(), with_gradient=False
    )
    images = tf.TensorSpec([1, size, size, 3], tf.float32, name="images")
    called = tf.function(function, input_signature=[images], autograph=False)
    converter = tf.lite.TFLiteConverter.from_concrete_functions(
        [called.get_concrete_function()], called
    )
    try:
        data = converter.convert()
    except Exception as error:  # its own kinds
        raise ValueError(
            "TensorFlow's converter cannot take this network as TFLite: use --format=onnx or "
            f"--format=savedmodel. Its own words: {str(error).strip()[:1000]}"
        ) from error
    described = interface(model, variables) | {"batch": 1, **(about or {})}
    with export_folder(out, described) as folder:
        (folder / TFLITE_FILE).write_bytes(data)
    return Path(out)
