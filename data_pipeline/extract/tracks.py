"""Faces of successive frames joined into tracks, one a person in view."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from data_pipeline.detectors import Face

_REACH = 1.0
"""A face further than this many of its sizes from a track's last box begins a track of its own."""


class Tracker:
    """Numbers the faces of frames given in order of time.

    Two boxes belong together by their overlap (intersection over union) and, where they do not
    overlap since frames lie seconds apart, by how near their centres are.
    """

    def __init__(self) -> None:
        self._last: list[Face] = []

    def update(self, faces: Sequence[Face]) -> list[int]:
        """The track of each face of the next frame; new faces begin tracks, the largest first."""
        tracks = [-1] * len(faces)
        if self._last and faces:
            from scipy.optimize import linear_sum_assignment  # a photo waits for no import of it

            affinity = np.array([[_affinity(old, new) for new in faces] for old in self._last])
            for old, new in zip(*linear_sum_assignment(-affinity), strict=True):
                if affinity[old, new] > 0:
                    tracks[new] = int(old)
        for i in sorted(range(len(faces)), key=lambda i: -faces[i].area):
            if tracks[i] < 0:
                tracks[i] = len(self._last)
                self._last.append(faces[i])
            else:
                self._last[tracks[i]] = faces[i]
        return tracks


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    """Intersection over union of two boxes x0, y0, x1, y1."""
    sides = np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])
    shared = float(np.prod(np.maximum(sides, 0)))
    total = float(np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2])) - shared
    return shared / total if total > 0 else 0.0


def nearest(previous: Face, faces: Sequence[Face]) -> Face | None:
    """The face that continues `previous`; None where all are too far away."""
    best = max(faces, key=lambda face: _affinity(previous, face), default=None)
    return best if best is not None and may_be_one(previous, best) else None


def may_be_one(before: Face, after: Face) -> bool:
    """Whether the second, in a later frame, may be of the same person."""
    return _affinity(before, after) > 0


def interpolate(before: Face, after: Face, share: float) -> Face:
    """The face between two of a track: 0 is `before`, 1 is `after`; the score is the fainter's."""
    return Face(
        box=(1 - share) * before.box + share * after.box,
        landmarks=(1 - share) * before.landmarks + share * after.landmarks,
        score=min(before.score, after.score),
    )


def _affinity(old: Face, new: Face) -> float:
    """1 to 2 where boxes overlap, 0 to 1 where they are only near, 0 beyond `_REACH`.

    Not less, since as many pairs as can be are made: those far apart must not cost others.
    """
    shared = overlap(old.box, new.box)
    if shared > 0:
        return 1.0 + shared
    distance = np.linalg.norm((old.box[:2] + old.box[2:] - new.box[:2] - new.box[2:]) / 2)
    size = max(float(np.max(old.box[2:] - old.box[:2])), 1e-6)
    return max(1.0 - float(distance) / (_REACH * size), 0.0)
