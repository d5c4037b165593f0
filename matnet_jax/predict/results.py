"""What comes of a file, and the files that keep it."""

import dataclasses
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from data_pipeline.files import atomic_file, csv_line, write_csv

_ALWAYS = ("input", "score", "label", "threshold", "frames", "faces", "error")
COLUMNS = (*_ALWAYS, "skipped", "tracks", "abstained")
LABELS = ("real", "fake")
UNCERTAIN = "uncertain"
NO_SEAM = "no seam found"
THUMBNAIL = 128  # pixels


@dataclasses.dataclass(frozen=True)
class FaceScore:
    """One face of one frame.

    Attributes:
      frame: its number, from 0.
      timestamp: seconds.
      box: x0, y0, x1, y1 in pixels of the frame.
      score: P(fake).
      attention: the network's maps [h, w, M], where they were asked for; not written to files.
      thumbnail: with them, the crop that was scored: uint8 RGB [`THUMBNAIL`, `THUMBNAIL`, 3].
      repeats: the score is that of a clip, and an earlier face of the clip has it already: it
        counts once for the person.
    """

    frame: int
    timestamp: float
    box: tuple[float, float, float, float]
    score: float
    attention: np.ndarray | None = None
    thumbnail: np.ndarray | None = None
    repeats: bool = False


@dataclasses.dataclass(frozen=True)
class Track:
    """One person in view: faces joined over frames, and their score."""

    number: int
    score: float
    faces: tuple[FaceScore, ...]


@dataclasses.dataclass(frozen=True)
class Prediction:
    """What comes of a file.

    Attributes:
      input: the path as it was given; of an array its place, as "image 3".
      score: P(fake), None where there was no face to score.
      threshold: over which the label is fake.
      frames: frames that were looked at.
      tracks: the people in it, the highest score first.
      error: why there is no score, or why frames are missing; "" where all went well.
      skipped: why the file was left out and not looked at, as one that is no picture or video.
      uncertain: low and high; a score in [low, high] is called neither. None: there is no band.
      limits: what the detector does not see, where its threshold was fitted; "" where it was not.
    """

    input: str
    score: float | None
    threshold: float
    frames: int
    tracks: tuple[Track, ...] = ()
    error: str = ""
    skipped: str = ""
    uncertain: tuple[float, float] | None = None
    limits: str = ""

    @property
    def label(self) -> str:
        """``real``, ``fake``, ``uncertain``, or ``""`` without a score."""
        return "" if self.score is None else self._label(self.score)

    @property
    def finding(self) -> str:
        """The label in words: with a fitted threshold nothing is called real, for want of proof."""
        return "" if self.score is None else self.finding_of(self.score)

    def finding_of(self, score: float) -> str:
        """What a person's score says, as the file's own score says its `finding`."""
        label = self._label(score)
        return NO_SEAM if self.limits and label == LABELS[0] else label

    @property
    def verdict(self) -> str:
        """The finding, and where it says little, why."""
        return f"{NO_SEAM}; {self.limits}" if self.finding == NO_SEAM else self.finding

    @property
    def abstained(self) -> bool:
        """Whether there is a score, and it is not enough to decide."""
        return self.label == UNCERTAIN

    def _label(self, score: float) -> str:
        low, high = self.uncertain or (1.0, 0.0)  # without a band nothing is between
        return UNCERTAIN if low <= score <= high else LABELS[score > self.threshold]

    @property
    def faces(self) -> int:
        """Faces that were scored, over all frames and people."""
        return sum(len(track.faces) for track in self.tracks)

    def as_json(self) -> dict[str, Any]:
        """JSON values; attention maps are left out."""
        return {
            "input": self.input,
            "score": self.score,
            "label": self.label,
            "verdict": self.verdict,
            "limits": self.limits,
            "threshold": self.threshold,
            "frames": self.frames,
            "faces": self.faces,
            "error": self.error,
            "skipped": self.skipped,
            "abstained": self.abstained,
            "uncertain": None if self.uncertain is None else list(self.uncertain),
            "tracks": [
                {
                    "track": track.number,
                    "score": track.score,
                    "faces": [
                        {
                            "frame": face.frame,
                            "timestamp": face.timestamp,
                            "box": list(face.box),
                            "score": face.score,
                        }
                        for face in track.faces
                    ],
                }
                for track in self.tracks
            ],
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "Prediction":
        """What `as_json` gave.

        Raises:
          KeyError, TypeError: it did not give this.
        """
        tracks = tuple(
            Track(
                track["track"],
                track["score"],
                tuple(
                    FaceScore(f["frame"], f["timestamp"], tuple(f["box"]), f["score"])
                    for f in track["faces"]
                ),
            )
            for track in values["tracks"]
        )
        fields = {name: values[name] for name in ("input", "score", "threshold", "frames", "error")}
        band = values.get("uncertain")  # version 0.1 had none, and left nothing out
        return cls(
            **fields,
            tracks=tracks,
            skipped=values.get("skipped", ""),
            uncertain=None if band is None else (band[0], band[1]),
            limits=values.get("limits", ""),
        )


Stamp = tuple[int, int]
"""Of a file: bytes, and the time of its last change in nanoseconds."""


def stamp_of(path: str) -> Stamp | None:
    """The stamp of a file as it is now; None where there is none."""
    try:
        found = os.stat(path)
    except (OSError, ValueError):  # a name with a null byte
        return None
    return found.st_size, found.st_mtime_ns


class Log:
    """Finished files, one a line as they come, so that an interrupted run loses none.

    Args:
      path: of the log; its first line says with which network and settings.
      about: those.
      resume: keeps what an earlier run with the same `about` finished; else the log begins anew.
      stamps: of the files that are asked for, from before they are read. One of these that the log
        has with an error, or with another stamp, is not done. One that is gone keeps its score, as
        does one without a stamp in the log: version 0.1 kept none.

    Raises:
      ValueError: the earlier run was another network's, or had other settings.
    """

    def __init__(
        self,
        path: Path,
        about: Mapping[str, Any],
        *,
        resume: bool,
        stamps: Mapping[str, Stamp | None] | None = None,
    ) -> None:
        self._path, self._stamps = path, stamps or {}
        self.done: dict[str, Prediction] = {}
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = [json.dumps(about) + "\n"]
        for prediction, stamp in _read(path, about) if resume and path.exists() else ():
            now = self._stamps.get(prediction.input)
            changed = None not in (stamp, now) and stamp != now
            if changed or (prediction.error and prediction.input in self._stamps):
                continue
            self.done[prediction.input] = prediction
            lines.append(_line(prediction, stamp))
        with atomic_file(path) as file:
            file.writelines(lines)

    def add(self, prediction: Prediction) -> None:
        """Keeps one more file."""
        self.done[prediction.input] = prediction
        with self._path.open("a", encoding="utf-8") as file:
            file.write(_line(prediction, self._stamps.get(prediction.input)))


def _line(prediction: Prediction, stamp: Stamp | None) -> str:
    size, mtime_ns = stamp or (None, None)
    values = {**prediction.as_json(), "size": size, "mtime_ns": mtime_ns}
    return json.dumps(values, allow_nan=False) + "\n"


def _read(path: Path, about: Mapping[str, Any]) -> list[tuple[Prediction, Stamp | None]]:
    lines = path.read_text(encoding="utf-8").splitlines()
    try:
        before = json.loads(lines[0])
    except (IndexError, ValueError) as error:
        raise ValueError(f"{path} has no readable first line: run without --resume") from error
    wanted = json.loads(json.dumps(about))
    if before != wanted:
        different = [
            f"{key}: {before.get(key)!r} before, {wanted.get(key)!r} now"
            for key in sorted({*before, *wanted})
            if before.get(key) != wanted.get(key)
        ]
        raise ValueError(
            f"{path} is of a run that differs:\n  " + "\n  ".join(different) + "\ntake another "
            "--out, or go without --resume"
        )
    done = {}  # of a file with several lines the last one holds
    for line in lines[1:]:
        try:
            values = json.loads(line)
            prediction = Prediction.from_json(values)
        except (ValueError, KeyError, TypeError):
            break  # cut off in the middle of a line
        size, mtime_ns = values.get("size"), values.get("mtime_ns")
        stamp = None if size is None or mtime_ns is None else (size, mtime_ns)
        done[prediction.input] = prediction, stamp
    return list(done.values())


def _bool(value: bool) -> str:
    return str(value).lower()


def write_predictions(folder: Path, predictions: Iterable[Prediction]) -> None:
    """Writes ``predictions.csv``, one row a file, and ``predictions.json``, with every face."""
    predictions = list(predictions)
    write_csv(folder / "predictions.csv", COLUMNS, map(_row, predictions))
    # What of a file's name is no UTF-8 becomes the escape by which JSON writes it.
    with atomic_file(folder / "predictions.json", errors="backslashreplace") as file:
        values = [p.as_json() for p in predictions]
        json.dump(values, file, indent=1, ensure_ascii=False, allow_nan=False)
        file.write("\n")


def append_prediction(folder: Path, prediction: Prediction) -> None:
    """Adds a row to ``predictions.csv``, as it comes."""
    path = folder / "predictions.csv"
    with path.open("a", encoding="utf-8", errors="surrogateescape", newline="") as file:
        file.write(csv_line(_row(prediction)))


def _row(p: Prediction) -> tuple[Any, ...]:
    score = "" if p.score is None else repr(p.score)
    found = (p.input, score, p.label, p.threshold, p.frames, p.faces, p.error)
    return (*found, p.skipped, len(p.tracks), _bool(p.abstained))
