"""Which real example lends its face to another: one whose landmarks lie alike."""

from __future__ import annotations

import threading

import numpy as np

from data_pipeline.training.errors import DataError
from data_pipeline.training.sources import Source

_CHUNK = 256


class Donors:
    """For each real example another, nearest by landmarks among some of other people.

    As Face X-ray (Li et al., CVPR 2020) has it: of a random subset of real faces of other videos,
    the one whose landmarks are nearest; here after both are moved to one centre and size, so that
    the pose and the build count.

    The landmarks of all real examples are read when the first donor is asked for, in every process:
    one pass over them on one core, since their images are decoded too.

    Args:
      source: of the examples.
      candidates: of the subset that is drawn.

    Raises:
      DataError: the source has no landmarks, or fewer than two people.
    """

    def __init__(self, source: Source, *, candidates: int = 100) -> None:
        fields = [name for name in ("landmarks", "landmarks_dense") if name in source.fields]
        if not fields:
            raise DataError(f"no landmarks in {source}, by which donors of faces are chosen")
        columns = source.columns
        self._source, self._field, self._candidates = source, fields[0], candidates
        self._reals = np.flatnonzero(columns["label"] == 0)
        self._place = np.full(len(source), -1)
        self._place[self._reals] = np.arange(len(self._reals))
        # A real video's source is the person filmed; where it is not told, the video itself.
        person = np.where(columns["source_id"] != "", columns["source_id"], columns["video_id"])
        self._people, self._videos = (
            np.unique(
                np.char.add(np.char.add(columns["dataset"], "/"), names)[self._reals],
                return_inverse=True,
            )[1]
            for names in (person, columns["video_id"])
        )
        if self._people.max(initial=0) == 0:
            raise DataError(f"donors of faces need real examples of two people; {source} has one")
        self._lock = threading.Lock()
        self._shapes: np.ndarray | None = None

    def __call__(self, row: int, draw: np.random.Generator) -> int:
        """The row of the donor of a real example.

        Args:
          row: of the source's columns.
          draw: of the subset.
        """
        shapes, own = self._read(), self._place[row]
        other = (self._people != self._people[own]) & (self._videos != self._videos[own])
        places = np.flatnonzero(other)
        chosen = draw.choice(places, min(self._candidates, len(places)), replace=False)
        distances = np.square(shapes[chosen] - shapes[own]).sum(axis=(1, 2))
        return int(self._reals[chosen[np.argmin(distances)]])

    def _read(self) -> np.ndarray:
        """Landmarks of all real examples, centred, of size 1: float32 [R, K, 2]."""
        with self._lock:  # one of the threads reads, the others wait
            if self._shapes is None:
                parts = []
                for start in range(0, len(self._reals), _CHUNK):
                    rows = self._reals[start : start + _CHUNK]
                    examples = self._source.read(rows, (self._field,))
                    parts.append(np.stack([getattr(e, self._field) for e in examples]))
                points = np.concatenate(parts)
                points = points - points.mean(axis=1, keepdims=True)
                size = np.sqrt(np.square(points).sum(axis=(1, 2), keepdims=True))
                self._shapes = (points / np.maximum(size, 1e-6)).astype(np.float32)
            return self._shapes
