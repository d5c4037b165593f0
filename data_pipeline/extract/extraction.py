"""What is kept of a video: one file with its crops and where they come from."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np

from data_pipeline.extract.locate import Boxes
from data_pipeline.files import atomic_file

FORMAT = 2
"""Of the files; another one makes other file names, so old files are not mistaken for new."""

State = list[list[int]]
"""Of each file that a video was read from: its bytes, and its last change in ns."""

_BULK = ("crops", "masks", "landmarks_dense")


class DamagedError(ValueError):
    """A stored file cannot be read."""


@dataclasses.dataclass(frozen=True)
class Extraction:
    """The crops of one video.

    Attributes:
      meta: identity, label, split and source of the video, and the version of the crops.
      crops: encoded images, one a row of the other fields.
      frame, timestamp, face, box, landmarks, score: of each crop; `face` is the track's number.
      size: width and height of the frames in pixels, 0 where there were none.
      problem: why frames or faces are missing, or "".
      masks: encoded PNGs, one a crop, or [] where none were asked for.
      landmarks_dense: [n, K, 2] in pixels of the crops; None where none were asked for.
      state: of the video's files where the problem is theirs; None where it may pass, and of files
        of an older version.
    """

    meta: dict[str, Any]
    crops: list[bytes]
    frame: np.ndarray
    timestamp: np.ndarray
    face: np.ndarray
    box: np.ndarray
    landmarks: np.ndarray
    score: np.ndarray
    size: np.ndarray
    problem: str
    masks: list[bytes] = dataclasses.field(default_factory=list)
    landmarks_dense: np.ndarray | None = None
    state: State | None = None

    def __len__(self) -> int:
        return len(self.frame)

    @property
    def boxes(self) -> Boxes:
        """For other videos of the same footage."""
        size = (int(self.size[0]), int(self.size[1]))
        return Boxes(self.frame, self.face, self.box, self.landmarks, self.score, size)

    def save(self, path: Path) -> None:
        """Writes the file whole or not at all."""
        dense = self.landmarks_dense
        extras: dict[str, Any] = {} if dense is None else {"landmarks_dense": dense}
        if self.masks:
            extras |= _joined("masks", "mask_lengths", self.masks)
        with atomic_file(path, "wb") as file:
            np.savez(
                file,
                meta=json.dumps({**self.meta, "problem": self.problem, "state": self.state}),
                **_joined("crops", "lengths", self.crops),
                **extras,
                frame=self.frame,
                timestamp=self.timestamp,
                face=self.face,
                box=self.box,
                landmarks=self.landmarks,
                score=self.score,
                size=self.size,
            )

    @classmethod
    def load(cls, path: Path, *, crops: bool = True) -> Extraction:
        """Reads what `save` wrote.

        Args:
          path: the file.
          crops: False leaves the bulk of the file unread, and `crops`, `masks` and
            `landmarks_dense` empty.

        Raises:
          DamagedError: the file is damaged.
        """
        try:
            with np.load(path, allow_pickle=False) as stored:
                wanted = [name for name in stored.files if crops or name not in _BULK]
                fields = {name: stored[name] for name in wanted}
            meta = json.loads(str(fields.pop("meta")))
            problem, state = meta.pop("problem"), meta.pop("state", None)
            images, masks = (
                _split(fields.pop(name, None), fields.pop(lengths, None))
                for name, lengths in (("crops", "lengths"), ("masks", "mask_lengths"))
            )
            return cls(meta=meta, crops=images, problem=problem, masks=masks, state=state, **fields)
        except Exception as error:  # zipfile, NumPy and JSON each raise their own
            raise DamagedError(f"{path} is damaged ({error}): delete it and rerun") from error


def _joined(name: str, lengths_name: str, images: list[bytes]) -> dict[str, Any]:
    lengths = np.array([len(image) for image in images], np.int64)
    return {name: np.frombuffer(b"".join(images), np.uint8), lengths_name: lengths}


def _split(joined: np.ndarray | None, lengths: np.ndarray | None) -> list[bytes]:
    if joined is None or lengths is None:
        return []
    data, ends = joined.tobytes(), np.cumsum(lengths)
    return [data[end - length : end] for end, length in zip(ends, lengths, strict=True)]
