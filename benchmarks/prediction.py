"""A video from file to score, and what decoding, detecting and scoring take alone.

    python -m benchmarks.prediction --video=FILE [--detector=yunet --weights=FILE]

The network is an untrained MAT of full size: its speed does not depend on its weights.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from absl import app, flags

from benchmarks.lines import emit, peak_memory

_VIDEO = flags.DEFINE_string("video", None, "To score.", required=True)
_DETECTOR = flags.DEFINE_string("detector", "mtcnn", "Face detector.")
_WEIGHTS = flags.DEFINE_string("weights", None, "Its file.")
_BACKBONE = flags.DEFINE_string("backbone", "efficientnet-b4", "Of the network.")
_SIZE = flags.DEFINE_integer("image_size", 380, "Pixels.")
_FRAMES = flags.DEFINE_integer("frames", 32, "Of the video.")
_BATCH = flags.DEFINE_integer("batch_size", 8, "Faces.")


def network() -> Any:
    """An untrained MAT as the predictor takes it."""
    import jax

    from matnet_jax.detectors.inference import infer
    from matnet_jax.model import create_model, init_variables
    from matnet_jax.predict.network import Network

    model = create_model("paper", backbone=_BACKBONE.value, image_size=_SIZE.value)
    variables = init_variables(model, 0)
    step = jax.jit(lambda v, x: infer(model, v, model.preprocess.normalize(x))[:2])
    return Network(_SIZE.value, _BATCH.value, {}, lambda crops: step(variables, crops))


def main(_: list[str]) -> None:
    """Runs the command."""
    import numpy as np

    from data_pipeline.detectors import create_detector
    from data_pipeline.extract.crops import Settings, cut, find
    from data_pipeline.extract.video import open_frames
    from matnet_jax.predict import Predictor

    path = Path(_VIDEO.value)
    weights = Path(_WEIGHTS.value) if _WEIGHTS.value else None
    settings = Settings(detector=_DETECTOR.value, num_frames=_FRAMES.value, faces="all")
    model = network()
    model(np.zeros((1, _SIZE.value, _SIZE.value, 3), np.uint8))  # compiles

    start = time.perf_counter()
    frames = list(open_frames(path, _FRAMES.value))
    decoded = time.perf_counter()
    detector = create_detector(_DETECTOR.value, weights)
    detector.detect(frames[0].image)
    ready = time.perf_counter()
    faces = [(f.image, face) for f, found in find(frames, detector, settings) for _, face in found]
    detected = time.perf_counter()
    crops = np.stack([cut(image, face, settings) for image, face in faces])
    cropped = time.perf_counter()
    for i in range(0, len(crops), _BATCH.value):
        model(crops[i : i + _BATCH.value])
    scored = time.perf_counter()

    predictor = Predictor(model, settings=settings, detector_weights=weights)
    begin = time.perf_counter()
    prediction = predictor(path)
    total = time.perf_counter() - begin
    parts = {
        "decode_s": decoded - start,
        "detect_s": detected - ready,
        "crop_s": cropped - detected,
        "score_s": scored - cropped,
    }
    emit(
        f"prediction_{_DETECTOR.value}",
        prediction.frames / total,
        "frames/s",
        ratio=sum(parts.values()) / total,
        reference="the parts one after the other",
        total_s=total,
        **parts,
        faces=prediction.faces,
        backbone=_BACKBONE.value,
        image_size=_SIZE.value,
        peak_memory_gb=peak_memory(),
    )


if __name__ == "__main__":
    app.run(main)
