"""From video to crops on one core: seconds a video.

    python -m benchmarks.extraction --videos=DIR [--detector=yunet --weights=FILE]

Its parts are opening (counting frames), decoding, detecting and encoding.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from absl import app, flags

from benchmarks.lines import cores, emit
from data_pipeline.datasets import Video
from data_pipeline.datasets.files import VIDEO_SUFFIXES
from data_pipeline.detectors import DETECTORS, Detector, Face, create_detector
from data_pipeline.extract import crops as extract
from data_pipeline.extract.crops import Settings, extract_video

_VIDEOS = flags.DEFINE_string("videos", None, "Folder of videos.", required=True)
_DETECTOR = flags.DEFINE_enum("detector", "mtcnn", list(DETECTORS), "Face detector.")
_WEIGHTS = flags.DEFINE_string("weights", None, "Its file.")
_FRAMES = flags.DEFINE_integer("frames", 32, "Frames a video.")
_EVERY = flags.DEFINE_integer("detect_every", 1, "Detect on every so many frames.")
_REPEATS = flags.DEFINE_integer("repeats", 3, "The fastest of so many runs counts.")


class _Clock:
    """Adds up the seconds of the parts of an extraction."""

    def __init__(self) -> None:
        self.seconds = dict.fromkeys(("open", "decode", "detect", "encode"), 0.0)

    def timed(self, part: str, function: Any) -> Any:
        """The function, on the clock."""

        def run(*args: Any, **kwargs: Any) -> Any:
            start = time.perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                self.seconds[part] += time.perf_counter() - start

        return run

    def iterated(self, frames: Any) -> Iterator:
        """The frames, their decoding on the clock."""
        iterator = iter(frames)
        following = self.timed("decode", lambda: next(iterator, None))
        while (frame := following()) is not None:
            yield frame


class _Timed:
    """A detector on the clock."""

    def __init__(self, detector: Detector, clock: _Clock) -> None:
        self._detect = clock.timed("detect", detector.detect)

    def detect(self, image: np.ndarray) -> list[Face]:
        return self._detect(image)


class _Stream:
    """What `open_frames` gives, on the clock."""

    def __init__(self, stream: Any, clock: _Clock) -> None:
        self._stream, self._clock = stream, clock

    def __iter__(self) -> Any:
        return self._clock.iterated(self._stream)

    @property
    def problem(self) -> str:
        return self._stream.problem


def measure(path: Path, settings: Settings, detector: Detector) -> tuple[float, dict[str, float]]:
    """Seconds that a video takes, and of its parts."""
    video = Video("benchmark", "", "", "test", path.stem, path.stem, 0, path)
    clock = _Clock()
    original, extract_encode = extract.open_frames, extract.encode
    opened = clock.timed("open", original)
    extract.open_frames = lambda *a, **k: _Stream(opened(*a, **k), clock)  # type: ignore[assignment]
    extract.encode = clock.timed("encode", extract_encode)
    try:
        start = time.perf_counter()
        extraction = extract_video(video, settings, _Timed(detector, clock))
        total = time.perf_counter() - start
    finally:
        extract.open_frames, extract.encode = original, extract_encode
    if not len(extraction):
        raise SystemExit(f"{path}: {extraction.problem}")
    return total, clock.seconds


def main(_: list[str]) -> None:
    """Runs the command."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # before MTCNN brings TensorFlow
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # one core, whatever has threads
    cv2.setNumThreads(1)
    settings = Settings(
        detector=_DETECTOR.value, num_frames=_FRAMES.value, detect_every=_EVERY.value
    )
    weights = Path(_WEIGHTS.value) if _WEIGHTS.value else None
    detector = create_detector(_DETECTOR.value, weights)
    paths = [p for p in sorted(Path(_VIDEOS.value).rglob("*")) if p.suffix in VIDEO_SUFFIXES]
    measure(paths[0], settings, detector)  # whatever is set up at first use
    best = [
        min(
            (measure(path, settings, detector) for _ in range(_REPEATS.value)),
            key=lambda measured: measured[0],
        )
        for path in paths
    ]
    total = sum(seconds for seconds, _ in best)
    parts = {f"{part}_s": sum(p[part] for _, p in best) / len(best) for part in best[0][1]}
    emit(
        f"extraction_{_DETECTOR.value}",
        total / len(best),
        "s a video",
        worst_s=max(seconds for seconds, _ in best),
        frames_per_s=len(best) * _FRAMES.value / total,
        **parts,
        videos=len(best),
        frames=_FRAMES.value,
        detect_every=_EVERY.value,
        device=cores(1),
    )


if __name__ == "__main__":
    app.run(main)
