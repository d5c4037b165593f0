"""Which faces of a video's frames are used: chosen, tracked, interpolated, or known beforehand."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterable, Iterator

import numpy as np

from data_pipeline.detectors import Detector, Face
from data_pipeline.extract.frames import Frame
from data_pipeline.extract.tracks import Tracker, interpolate, may_be_one, nearest

CHOICES = ("largest", "track", "all")
Located = tuple[Frame, list[tuple[int, Face]]]


def locate(
    frames: Iterable[Frame],
    detector: Detector,
    *,
    faces: str = "largest",
    every: int = 1,
    min_face: float = 0,
    min_score: float = 0,
) -> Iterator[Located]:
    """Finds faces in frames, in order.

    Args:
      frames: in order of time; at most `every` of them are held at once.
      detector: finds faces.
      faces: "largest" of each frame; the "track" that the largest of the first frame with a face
        begins; or "all", each with its track's number.
      every: detects on every so many frames; between two detections of a track its box and its
        landmarks are interpolated over time. Where the two are too far apart to be of one person,
        or time runs back, as between sequences of a folder, the frames between are searched too.
      min_face: boxes whose shorter side is shorter, in pixels, are no faces.
      min_score: nor are fainter detections.

    Yields:
      Each frame with its (number, face) pairs; the number is 0 but for "all".

    Raises:
      ValueError: an unknown choice.
    """
    if faces not in CHOICES:
        raise ValueError(f"unknown choice of faces '{faces}'; available: {', '.join(CHOICES)}")
    choose = _CHOOSERS[faces]()
    waiting: list[Frame] = []
    before: Located | None = None

    def detect(frame: Frame) -> Located:
        found = [
            face
            for face in detector.detect(frame.image)
            if min(face.box[2:] - face.box[:2]) >= min_face and face.score >= min_score
        ]
        return frame, choose(found)

    for position, frame in enumerate(frames):
        if position % every:
            waiting.append(frame)
            continue
        located = detect(frame)
        if before is not None:
            joined = _are_joined(before, waiting, located)
            yield from _between(before, waiting, located) if joined else map(detect, waiting)
        yield located
        waiting, before = [], located
    # After the last detection nothing is known but what it found.
    yield from map(detect, waiting)


def _are_joined(before: Located, waiting: list[Frame], after: Located) -> bool:
    known, times = dict(before[1]), [f.timestamp for f in (before[0], *waiting, after[0])]
    apart = any(n in known and not may_be_one(known[n], face) for n, face in after[1])
    return not apart and all(one < other for one, other in itertools.pairwise(times))


def _between(before: Located, waiting: list[Frame], after: Located) -> Iterator[Located]:
    start, known = before[0].timestamp, dict(before[1])
    length = after[0].timestamp - start
    for frame in waiting:
        share = (frame.timestamp - start) / length
        yield (
            frame,
            [(n, interpolate(known[n], face, share)) for n, face in after[1] if n in known],
        )


class _Largest:
    def __call__(self, faces: list[Face]) -> list[tuple[int, Face]]:
        return [(0, max(faces, key=lambda face: face.area))] if faces else []


class _Follow:
    def __init__(self) -> None:
        self._last: Face | None = None

    def __call__(self, faces: list[Face]) -> list[tuple[int, Face]]:
        if self._last is None:
            found = max(faces, key=lambda face: face.area, default=None)
        else:
            found = nearest(self._last, faces)
        if found is None:
            return []
        self._last = found
        return [(0, found)]


class _All:
    def __init__(self) -> None:
        self._tracker = Tracker()

    def __call__(self, faces: list[Face]) -> list[tuple[int, Face]]:
        return list(zip(self._tracker.update(faces), faces, strict=True))


_CHOOSERS: dict[str, Callable[[], Callable[[list[Face]], list[tuple[int, Face]]]]] = {
    "largest": _Largest,
    "track": _Follow,
    "all": _All,
}


@dataclasses.dataclass(frozen=True)
class Boxes:
    """Faces found earlier on the same footage.

    Attributes:
      frame: [n] frame numbers.
      face: [n] track numbers.
      box, landmarks, score: [n, 4], [n, 5, 2], [n], in pixels of a frame of `size`.
      size: width and height.
    """

    frame: np.ndarray
    face: np.ndarray
    box: np.ndarray
    landmarks: np.ndarray
    score: np.ndarray
    size: tuple[int, int]

    def scale_to(self, width: int, height: int) -> float:
        """Factor from these boxes' pixels to those of a frame of that size.

        Raises:
          ValueError: the shapes differ, so it is another cut of the footage.
        """
        own_width, own_height = self.size
        if abs(width * own_height - height * own_width) > 0.02 * width * own_height:
            raise ValueError(
                f"the boxes are of {own_width}×{own_height} pixels, the video has {width}×{height}"
            )
        return width / own_width

    def at(self, number: int) -> list[tuple[int, Face]]:
        """Faces of a frame, interpolated where it lies between two known ones of a track.

        Not where these are too far apart to be of one person: "largest" is of whoever is.
        """
        found = []
        for track in np.unique(self.face):
            rows = np.flatnonzero(self.face == track)
            rows = rows[np.argsort(self.frame[rows])]
            after = int(np.searchsorted(self.frame[rows], number))
            if after < len(rows) and self.frame[rows[after]] == number:
                found.append((int(track), self._face(rows[after])))
            elif 0 < after < len(rows):
                first, second = rows[after - 1], rows[after]
                ends = self._face(first), self._face(second)
                share = (number - self.frame[first]) / (self.frame[second] - self.frame[first])
                if may_be_one(*ends):
                    found.append((int(track), interpolate(*ends, share)))
        return found

    def _face(self, row: int) -> Face:
        return Face(self.box[row], self.landmarks[row], float(self.score[row]))


def place(frames: Iterable[Frame], boxes: Boxes) -> Iterator[Located]:
    """Frames with faces found earlier, instead of detecting.

    Raises:
      ValueError: see `Boxes.scale_to`.
    """
    for frame in frames:
        height, width = frame.image.shape[:2]
        scale = boxes.scale_to(width, height)
        yield (
            frame,
            [
                (track, Face(face.box * scale, face.landmarks * scale, face.score))
                for track, face in boxes.at(frame.number)
            ],
        )
