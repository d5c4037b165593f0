"""A video from file to score, and what decoding, detecting and scoring take alone.

    python -m benchmarks.prediction --video=FILE [--pretrained=NAME] [--engine=jax]
        [--network=classifier --backbone=efficientnet-lite0 --image_size=224]

The network is that of weights in the package, or an untrained one, since its speed does not depend
on its weights. A warm predictor is called, as a service has it.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from absl import app, flags

from benchmarks.lines import emit, peak_memory
from benchmarks.timing import best_seconds
from data_pipeline.cores import usable_cores

_VIDEO = flags.DEFINE_string("video", None, "To score.", required=True)
_PRETRAINED = flags.DEFINE_string("pretrained", None, "Weights in the package.")
_NETWORK = flags.DEFINE_string("network", "mat", "Where none are named: family, untrained.")
_BACKBONE = flags.DEFINE_string("backbone", "efficientnet-b4", "Of it.")
_SIZE = flags.DEFINE_integer("image_size", 380, "Pixels, of it.")
_ENGINE = flags.DEFINE_enum("engine", "onnx", ["onnx", "jax"], "Computes.")
_DETECTOR = flags.DEFINE_string("detector", "yunet", "Face detector.")
_WEIGHTS = flags.DEFINE_string("weights", None, "The detector's file, where it needs one.")
_FRAMES = flags.DEFINE_integer("frames", 32, "Of the video.")
_BATCH = flags.DEFINE_integer("batch_size", 32, "Faces.")
_REPEATS = flags.DEFINE_integer("repeats", 5, "The fastest counts.")


def network() -> Any:
    """What is asked for, as the predictor takes it."""
    from benchmarks.network import scorer
    from matnet_jax.checkpoints.export import export_onnx
    from matnet_jax.model import create_detector, init_variables
    from matnet_jax.predict.network import Network, exported_network, packaged_network

    size, batch = _SIZE.value, _BATCH.value
    if _PRETRAINED.value:
        return packaged_network(_PRETRAINED.value, batch_size=batch, engine=_ENGINE.value)
    model = create_detector(_NETWORK.value, backbone=_BACKBONE.value, image_size=size)
    variables = init_variables(model, 0)
    if _ENGINE.value == "onnx":
        with tempfile.TemporaryDirectory() as folder:
            out = export_onnx(model, variables, Path(folder) / "out")
            return exported_network(out, batch_size=batch)
    return Network(size, batch, {}, scorer(model, variables, batch_size=batch))


def parts(path: Path, predictor: Any, cores: int) -> dict[str, Callable[[], object]]:
    """What prediction does, one thing at a time, each with what the one before gave."""
    import numpy as np

    from data_pipeline.detectors import create_detector
    from data_pipeline.extract.crops import cut, find
    from data_pipeline.extract.video import open_frames
    from data_pipeline.training.ops import fit_to_size

    net, settings = predictor.network, predictor.used_settings
    detector = create_detector(settings.detector, predictor.detector_weights)
    frames = list(open_frames(path, settings.num_frames))
    faces = [(f.image, face) for f, found in find(frames, detector, settings) for _, face in found]

    def crop() -> np.ndarray:
        return np.stack([fit_to_size(cut(*face, settings), net.image_size) for face in faces])

    crops = crop()

    def score() -> None:
        for start in range(0, len(crops), net.batch_size):
            net(crops[start : start + net.batch_size])

    return {
        "decode_s": lambda: list(open_frames(path, settings.num_frames, threads=cores)),
        "detect_s": lambda: list(find(frames, detector, settings)),
        "crop_s": crop,
        "score_s": score,
    }


def main(_: list[str]) -> None:
    """Runs the command."""
    from matnet_jax.predict import Predictor
    from matnet_jax.predict.predictor import settings_for

    path, cores = Path(_VIDEO.value), usable_cores()
    net = network()
    predictor = Predictor(
        net,
        settings=settings_for(net.crops, detector=_DETECTOR.value, num_frames=_FRAMES.value),
        detector_weights=Path(_WEIGHTS.value) if _WEIGHTS.value else None,
        any_crops=True,
    )
    prediction = predictor(path)  # compiles
    used, start = time.process_time(), time.perf_counter()
    whole = best_seconds({"all": lambda: predictor(path)}, repeats=_REPEATS.value)["all"]
    used, passed = time.process_time() - used, time.perf_counter() - start
    memory = peak_memory()
    alone = best_seconds(parts(path, predictor, cores), repeats=_REPEATS.value)
    emit(
        f"prediction_{_DETECTOR.value}",
        prediction.frames / whole,
        "frames/s",
        ratio=sum(alone.values()) / whole,
        reference="the parts one after the other",
        total_s=whole,
        **alone,
        cores_busy=used / passed,
        core_seconds_per_1000_videos=1000 * used / (_REPEATS.value + 1),
        faces=prediction.faces,
        network=_PRETRAINED.value or f"{_NETWORK.value} on {_BACKBONE.value}",
        image_size=net.image_size,
        engine=net.engine,
        peak_memory_gb=memory,
    )


if __name__ == "__main__":
    app.run(main)
