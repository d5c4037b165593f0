"""The faces that two detectors find on the same frames of videos.

    python -m benchmarks.faces --videos=DIR [DIR …] [--detector=yunet --against=mtcnn]

A line a video and one over all: faces, frames with one, and how many of each detector's faces the
other finds too (boxes that overlap by a half, intersection over union).
"""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path

import numpy as np
from absl import app, flags
from scipy.optimize import linear_sum_assignment

from benchmarks.lines import cores, emit
from data_pipeline.datasets.files import VIDEO_SUFFIXES
from data_pipeline.detectors import DETECTORS, Detector, Face, create_detector
from data_pipeline.extract.crops import Settings, find
from data_pipeline.extract.frames import Frame
from data_pipeline.extract.tracks import overlap
from data_pipeline.extract.video import open_frames

_VIDEOS = flags.DEFINE_string("videos", None, "Folder of videos; more may follow.", required=True)
_DETECTOR = flags.DEFINE_enum("detector", "yunet", list(DETECTORS), "That is compared.")
_AGAINST = flags.DEFINE_enum("against", "mtcnn", list(DETECTORS), "With which.")
_FRAMES = flags.DEFINE_integer("frames", 8, "Frames a video.")
_SAME = 0.5


def found_in(frames: list[Frame], detector: Detector) -> tuple[list[list[Face]], float]:
    """The faces of each frame as prediction takes them, and the seconds that finding them took."""
    start = time.perf_counter()
    faces = [[f for _, f in found] for _, found in find(frames, detector, Settings(faces="all"))]
    return faces, time.perf_counter() - start


def found_by_both(own: list[Face], others: list[Face]) -> int:
    """How many faces of a frame both have: pairs of boxes that overlap by at least a half."""
    shared = np.array([overlap(a.box, b.box) for a in own for b in others])
    shared = shared.reshape(len(own), len(others))
    rows, columns = linear_sum_assignment(-shared)
    return int(np.sum(shared[rows, columns] >= _SAME))


def count(frames: list[Frame], detectors: dict[str, Detector]) -> Counter[str]:
    """What two detectors find in a video's frames: faces, frames with one, seconds, and both's."""
    counts = Counter({"frames": len(frames)})
    found = []
    for name, detector in detectors.items():
        faces, seconds = found_in(frames, detector)
        found.append(faces)
        counts[f"faces_{name}"] = sum(map(len, faces))
        counts[f"frames_with_face_{name}"] = sum(map(bool, faces))
        counts[f"milliseconds_{name}"] = round(1000 * seconds)
    counts["faces_both"] = sum(map(found_by_both, *found))
    return counts


def main(argv: list[str]) -> None:
    """Runs the command."""
    detectors = {name: create_detector(name) for name in (_DETECTOR.value, _AGAINST.value)}
    folders = [Path(_VIDEOS.value), *map(Path, argv[1:])]
    paths = [p for d in folders for p in sorted(d.rglob("*")) if p.suffix in VIDEO_SUFFIXES]
    total: Counter[str] = Counter()
    for path in paths:
        counts = count(list(open_frames(path, _FRAMES.value)), detectors)
        _print(path.name, counts)
        total += counts
    _print("all", total, videos=len(paths))


def _print(name: str, counts: Counter[str], **more: int) -> None:
    own, other = counts[f"faces_{_DETECTOR.value}"], counts[f"faces_{_AGAINST.value}"]
    emit(
        f"faces_{name}",
        own,
        "faces",
        ratio=own / max(other, 1),
        reference=_AGAINST.value,
        **counts,
        **more,
        device=cores(),
    )


if __name__ == "__main__":
    app.run(main)
