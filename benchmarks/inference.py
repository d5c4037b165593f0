"""Scores of face crops by every engine that is installed, in turns, in one run.

    python -m benchmarks.inference [--batch_sizes=1,4,32] [--networks=classifier,mat]
        [--backbones=efficientnet-lite0,efficientnet-b4] [--engines=jax,onnxruntime,openvino]

From uint8 crops to scores and heat maps, as prediction calls it. The networks are untrained: their
speed does not depend on their weights. Where OpenVINO is installed it runs the same ONNX file, in
float32 as the others, the whole batch at once.
"""

from __future__ import annotations

import functools
import importlib.util
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from absl import app, flags

from benchmarks.lines import emit

_BATCHES = flags.DEFINE_list("batch_sizes", ["1", "4", "32"], "Crops at once.")
_NETWORKS = flags.DEFINE_list("networks", ["classifier", "mat"], "Families.")
_BACKBONES = flags.DEFINE_list("backbones", ["efficientnet-lite0", "efficientnet-b4"], "Of them.")
_ENGINES = flags.DEFINE_list("engines", ["jax", "onnxruntime", "openvino"], "If installed.")
_SIZE = flags.DEFINE_integer("image_size", None, "Pixels; default: 224 for lite0, else 380.")
_REPEATS = flags.DEFINE_integer("repeats", 5, "The fastest counts.")

Score = Callable[[Any], Any]


def engines(model: Any, variables: Any) -> dict[str, Score]:
    """By name, functions of uint8 crops that return when they are scored."""
    from benchmarks.network import scorer
    from matnet_jax.checkpoints.export import ONNX_FILE, export_onnx
    from matnet_jax.predict.network import exported_network

    most = max(map(int, _BATCHES.value))
    made: dict[str, Score] = {"jax": scorer(model, variables, batch_size=most)}
    with tempfile.TemporaryDirectory() as folder:
        out = export_onnx(model, variables, Path(folder) / "out")
        if importlib.util.find_spec("onnxruntime"):
            made["onnxruntime"] = exported_network(out, batch_size=most).run
        if importlib.util.find_spec("openvino"):
            made["openvino"] = _openvino(out / ONNX_FILE, model.preprocess)
    return {name: score for name, score in made.items() if name in _ENGINES.value}


def _openvino(path: Path, preprocess: Any) -> Score:
    import numpy as np
    import openvino

    # It computes in bfloat16 by itself where a CPU has it.
    compiled = openvino.compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    mean, std = (np.asarray(v, np.float32) for v in (preprocess.mean, preprocess.std))
    return lambda crops: compiled((crops.astype(np.float32) / np.float32(255) - mean) / std)


def main(_: list[str]) -> None:
    """Runs the command."""
    import numpy as np

    from benchmarks.timing import best_seconds
    from matnet_jax.model import create_detector, init_variables

    for backbone in _BACKBONES.value:
        size = _SIZE.value or (224 if "lite0" in backbone else 380)
        for network in _NETWORKS.value:
            model = create_detector(network, backbone=backbone, image_size=size)
            scorers = engines(model, init_variables(model, 0))
            for batch in map(int, _BATCHES.value):
                shape = (batch, size, size, 3)
                crops = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
                seconds = best_seconds(
                    {name: functools.partial(score, crops) for name, score in scorers.items()},
                    repeats=_REPEATS.value,
                )
                for name, taken in seconds.items():
                    ratio = {"ratio": seconds["jax"] / taken} if "jax" in seconds else {}
                    emit(
                        f"inference_{name}",
                        batch / taken,
                        "images/s",
                        **ratio,
                        reference="jax",
                        network=network,
                        backbone=backbone,
                        image_size=size,
                        batch_size=batch,
                    )


if __name__ == "__main__":
    app.run(main)
