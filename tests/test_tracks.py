"""Faces joined over frames, and which of them are used."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from data_pipeline.detectors import Face
from data_pipeline.extract.frames import Frame
from data_pipeline.extract.locate import Boxes, locate, place
from data_pipeline.extract.tracks import Tracker, interpolate, nearest, overlap


def face(x: float, y: float = 0, size: float = 10, score: float = 0.9) -> Face:
    """A square face; its landmarks tell its corner."""
    box = np.array([x, y, x + size, y + size], np.float32)
    return Face(box, np.full((5, 2), (x, y), np.float32), score)


class Scripted:
    """Gives the faces written down for each frame, and counts the frames it was asked for."""

    def __init__(self, script: dict[int, list[Face]]) -> None:
        self.script, self.asked = script, []

    def detect(self, image: Any) -> Any:
        number = int(image[0, 0, 0])
        self.asked.append(number)
        return self.script.get(number, [])


def frames(count: int) -> list[Frame]:
    return [Frame(i, i / 25, np.full((40, 80, 3), i, np.uint8)) for i in range(count)]


def stored(first: Face, second: Face, *, size: tuple[int, int]) -> Boxes:
    """Of frames 0 and 4, under one number."""
    return Boxes(
        frame=np.array([0, 4]),
        face=np.array([0, 0]),
        box=np.stack([first.box, second.box]),
        landmarks=np.stack([first.landmarks, second.landmarks]),
        score=np.array([0.9, 0.8], np.float32),
        size=size,
    )


def test_overlap_is_intersection_over_union() -> None:
    assert overlap(face(0).box, face(0).box) == 1
    assert overlap(face(0).box, face(5).box) == pytest.approx(50 / 150)
    assert overlap(face(0).box, face(20).box) == 0


def test_tracks_follow_people_whose_order_changes() -> None:
    tracker = Tracker()
    assert tracker.update([face(0, size=12), face(50)]) == [0, 1]
    assert tracker.update([face(52), face(3, size=12)]) == [1, 0]
    assert tracker.update([face(54)]) == [1]
    assert tracker.update([face(4, size=12), face(55)]) == [0, 1]  # back after a frame away
    assert tracker.update([face(30, 25, size=4)]) == [2]


def test_a_face_that_stays_keeps_its_track_whatever_others_do() -> None:
    """A small face that is gone and another far away would make a pair that costs all others."""
    tracker = Tracker()
    assert tracker.update([face(960, size=400), face(1700, size=40)]) == [0, 1]
    assert tracker.update([face(965, size=400), face(200, size=40)]) == [0, 2]


def test_two_faces_never_share_a_track() -> None:
    tracker = Tracker()
    tracker.update([face(0)])
    assert sorted(tracker.update([face(1), face(2)])) == [0, 1]


def test_the_nearest_face_continues_a_track_and_a_far_one_does_not() -> None:
    assert nearest(face(0), [face(40), face(6)]).box[0] == 6
    assert nearest(face(0), [face(40)]) is None and nearest(face(0), []) is None


def test_interpolation_runs_from_one_face_to_the_other() -> None:
    middle = interpolate(face(0, score=0.5), face(10), 0.25)
    assert middle.box[0] == 2.5 and middle.landmarks[0, 0] == 2.5 and middle.score == 0.5


def test_the_choices_differ() -> None:
    script = {0: [face(0, size=12), face(50)], 1: [face(50, size=14), face(1, size=12)]}
    first = {
        choice: [
            [(n, float(f.box[0])) for n, f in found]
            for _, found in locate(frames(2), Scripted(script), faces=choice)
        ]
        for choice in ("largest", "track", "all")
    }
    assert first["largest"] == [[(0, 0.0)], [(0, 50.0)]]
    assert first["track"] == [[(0, 0.0)], [(0, 1.0)]]
    assert first["all"] == [[(0, 0.0), (1, 50.0)], [(1, 50.0), (0, 1.0)]]
    with pytest.raises(ValueError, match="largest, track, all"):
        list(locate(frames(1), Scripted({}), faces="biggest"))


def test_small_and_faint_faces_are_none() -> None:
    script = {0: [face(0, size=30, score=0.2), face(50, size=8), face(20, size=12)]}
    [(_, found)] = locate(frames(1), Scripted(script), min_face=10, min_score=0.5)
    assert [f.box[0] for _, f in found] == [20]


def test_between_detections_boxes_are_interpolated() -> None:
    detector = Scripted({0: [face(0)], 3: [face(6)], 6: [], 7: [face(8)]})
    located = list(locate(frames(8), detector, every=3))
    assert [frame.number for frame, _ in located] == list(range(8))
    assert detector.asked == [0, 3, 6, 7]  # after the last detection there is nothing to go by
    places = [[float(f.box[0]) for _, f in found] for _, found in located]
    np.testing.assert_allclose([x for each in places[:4] for x in each], [0, 2, 4, 6], atol=1e-5)
    assert places[4:] == [[], [], [], [8.0]]  # gone in the next detection: nothing in between


def test_nothing_is_interpolated_between_two_people() -> None:
    """The largest face is another person's: frames between are searched."""
    script = {n: [face(0, size=12), face(50, size=10 + n)] for n in range(5)}
    detector = Scripted(script)
    found = {frame.number: faces for frame, faces in locate(frames(5), detector, every=4)}
    assert sorted(detector.asked) == list(range(5))
    for number, faces in found.items():
        largest = max(script[number], key=lambda f: f.area)
        assert [f.box[0] for _, f in faces] == [largest.box[0]]
    boxes = stored(face(0), face(50), size=(80, 40))
    assert [len(faces) for _, faces in place(frames(5), boxes)] == [1, 0, 0, 0, 1]


def test_nothing_is_interpolated_where_time_runs_back() -> None:
    """As between two sequences of a folder, whose frames are counted anew."""
    times = [0.0, 4.0, 0.0, 0.04]
    detector = Scripted({n: [face(n)] for n in range(4)})
    moved = [Frame(n, t, np.full((40, 80, 3), n, np.uint8)) for n, t in enumerate(times)]
    places = [faces[0][1].box[0] for _, faces in locate(moved, detector, every=3)]
    np.testing.assert_allclose(places, [0, 1, 2, 3], atol=1e-5)
    moved[3] = Frame(3, -1.0, moved[3].image)
    places = [faces[0][1].box[0] for _, faces in locate(moved, detector, every=3)]
    assert places == [0, 1, 2, 3]


def test_boxes_serve_for_another_size_of_the_same_footage() -> None:
    boxes = stored(face(0), face(8), size=(160, 80))
    located = list(place(frames(6), boxes))
    assert [float(f[0][1].box[0]) if f else None for _, f in located] == [0, 1, 2, 3, 4, None]
    tall = [Frame(0, 0.0, np.zeros((80, 80, 3), np.uint8))]
    with pytest.raises(ValueError, match="160×80 pixels, the video has 80×80"):
        list(place(tall, boxes))
