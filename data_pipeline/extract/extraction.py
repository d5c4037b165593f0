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


@dataclasses.dataclass(frozen=True)
class Extraction:
    """The crops of one video.

    Attributes:
      meta: identity, label, split and source of the video, and the version of the crops.
      crops: encoded images, one a row of the other fields.
      frame, timestamp, face, box, landmarks, score: of each crop; `face` is the track's number.
      size: width and height of the frames in pixels, 0 where there were none.
      problem: why frames or faces are missing, or "".
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

    def __len__(self) -> int:
        return len(self.frame)

    @property
    def boxes(self) -> Boxes:
        """For other videos of the same footage."""
        size = (int(self.size[0]), int(self.size[1]))
        return Boxes(self.frame, self.face, self.box, self.landmarks, self.score, size)

    def save(self, path: Path) -> None:
        """Writes the file whole or not at all."""
        with atomic_file(path, "wb") as file:
            np.savez(
                file,
                meta=json.dumps({**self.meta, "problem": self.problem}),
                crops=np.frombuffer(b"".join(self.crops), np.uint8),
                lengths=np.array([len(crop) for crop in self.crops], np.int64),
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
          crops: False leaves `crops` empty, and the bulk of the file unread.

        Raises:
          ValueError: the file is damaged.
        """
        try:
            with np.load(path, allow_pickle=False) as stored:
                wanted = [name for name in stored.files if crops or name != "crops"]
                fields = {name: stored[name] for name in wanted}
            meta = json.loads(str(fields.pop("meta")))
            problem = meta.pop("problem")
            ends = np.cumsum(fields.pop("lengths"))
            data = fields.pop("crops").tobytes() if crops else b""
            starts = np.concatenate([np.zeros(1, np.int64), ends])[: len(ends)]
            cut = [data[a:b] for a, b in zip(starts, ends, strict=True)] if crops else []
            return cls(meta=meta, crops=cut, problem=problem, **fields)
        except Exception as error:  # zipfile, NumPy and JSON each raise their own
            raise ValueError(f"{path} is damaged ({error}): delete it and rerun") from error
