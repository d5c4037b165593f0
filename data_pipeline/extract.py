"""Videos to face crops: one atomic file a video, made once.

A file is named by a hash of the video's identity and of the settings, so a rerun makes only what is
missing, and other settings never mix with old crops.
"""

from __future__ import annotations

import dataclasses
import json
import os
import tempfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from data_pipeline.crop import ALIGNMENTS, crop_face
from data_pipeline.datasets import Video
from data_pipeline.detectors import Detector, Face
from data_pipeline.video import VideoError, read_frames


@dataclasses.dataclass(frozen=True)
class Settings:
    """What is done with every video.

    Attributes:
      detector: name of the face detector.
      num_frames: frames a video, spread evenly.
      crop_size: pixels.
      alignment: "similarity" or "box".
      min_face: shorter boxes, in pixels of the frame, are no faces.
      quality: of the crops' JPEG.
    """

    detector: str = "mtcnn"
    num_frames: int = 32
    crop_size: int = 380
    alignment: str = "similarity"
    min_face: int = 20
    quality: int = 95

    @property
    def crop_version(self) -> str:
        """As records carry it."""
        return ALIGNMENTS[self.alignment]

    def as_text(self) -> str:
        """For fingerprints: equal settings give equal text."""
        return json.dumps({**dataclasses.asdict(self), "version": self.crop_version})


@dataclasses.dataclass(frozen=True)
class Extraction:
    """The crops of one video.

    Attributes:
      meta: identity, label, split and source of the video.
      jpegs: encoded crops, one a row of the other fields.
      frame, timestamp, box, landmarks, score: of each crop.
      problem: why frames or faces are missing, or "".
    """

    meta: dict[str, Any]
    jpegs: list[bytes]
    frame: np.ndarray
    timestamp: np.ndarray
    box: np.ndarray
    landmarks: np.ndarray
    score: np.ndarray
    problem: str

    def save(self, path: Path) -> None:
        """Writes the file whole or not at all."""
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".tmp")
        try:
            with os.fdopen(handle, "wb") as file:
                np.savez(
                    file,
                    meta=json.dumps({**self.meta, "problem": self.problem}),
                    jpegs=np.frombuffer(b"".join(self.jpegs), np.uint8),
                    sizes=np.array([len(j) for j in self.jpegs], np.int64),
                    frame=self.frame,
                    timestamp=self.timestamp,
                    box=self.box,
                    landmarks=self.landmarks,
                    score=self.score,
                )
            os.replace(temporary, path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise

    def __len__(self) -> int:
        return len(self.frame)

    @classmethod
    def load(cls, path: Path, *, crops: bool = True) -> Extraction:
        """Reads what `save` wrote.

        Args:
          path: the file.
          crops: False leaves `jpegs` empty, and the bulk of the file unread.

        Raises:
          ValueError: the file is damaged.
        """
        try:
            with np.load(path, allow_pickle=False) as stored:
                wanted = [name for name in stored.files if crops or name != "jpegs"]
                fields = {name: stored[name] for name in wanted}
            meta = json.loads(str(fields.pop("meta")))
            ends = np.cumsum(fields.pop("sizes"))
            data = fields.pop("jpegs").tobytes() if crops else b""
        except Exception as error:  # zipfile, NumPy and JSON each raise their own
            raise ValueError(f"{path} is damaged ({error}): delete it and rerun") from error
        starts = np.concatenate([np.zeros(1, np.int64), ends])[: len(ends)]
        jpegs = [data[a:b] for a, b in zip(starts, ends, strict=True)] if crops else []
        return cls(meta=meta, jpegs=jpegs, problem=meta.pop("problem"), **fields)


def extract_video(video: Video, settings: Settings, detector: Detector) -> Extraction:
    """Decodes, detects and crops; what goes wrong with a video is in `problem`, never raised."""
    kept: list[tuple[int, float, Face, bytes]] = []
    try:
        read = read_frames(video.path, settings.num_frames)
        problem = read.problem
        for frame in read.frames:
            face = largest_face(detector.detect(frame.image), settings.min_face)
            if face is None:
                continue
            crop = crop_face(
                frame.image,
                face.box,
                face.landmarks,
                size=settings.crop_size,
                alignment=settings.alignment,
            )
            kept.append((frame.number, frame.timestamp, face, encode_jpeg(crop, settings.quality)))
        faceless = len(read.frames) - len(kept)
        if faceless:
            note = f"no face in {faceless} of {len(read.frames)} frames"
            problem = f"{problem}; {note}" if problem else note
    except VideoError as error:
        problem = str(error)
    return _extraction(video, settings, kept, problem)


def failed(video: Video, settings: Settings, problem: str) -> Extraction:
    """What is kept of a video that gave nothing, and why."""
    return _extraction(video, settings, [], problem)


_META = ("dataset", "subset", "compression", "split", "video_id", "source_id", "label")


def _extraction(
    video: Video,
    settings: Settings,
    kept: list[tuple[int, float, Face, bytes]],
    problem: str,
) -> Extraction:
    meta = {name: getattr(video, name) for name in _META}
    return Extraction(
        meta={**meta, "crop_version": settings.crop_version},
        jpegs=[jpeg for *_, jpeg in kept],
        frame=np.array([number for number, *_ in kept], np.int32),
        timestamp=np.array([time for _, time, *_ in kept], np.float32),
        box=np.array([f.box for _, _, f, _ in kept], np.float32).reshape(-1, 4),
        landmarks=np.array([f.landmarks for _, _, f, _ in kept], np.float32).reshape(-1, 5, 2),
        score=np.array([f.score for _, _, f, _ in kept], np.float32),
        problem=problem,
    )


def largest_face(faces: list[Face], min_face: int) -> Face | None:
    """The largest face of at least `min_face` pixels on its shorter side, or None."""
    large = [f for f in faces if min(f.box[2] - f.box[0], f.box[3] - f.box[1]) >= min_face]
    return max(large, key=lambda face: face.area, default=None)


def encode_jpeg(image: np.ndarray, quality: int) -> bytes:
    """uint8 RGB [H, W, 3] to JPEG bytes."""
    bgr = np.ascontiguousarray(image[..., ::-1])
    return cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()


def extraction_path(out: Path, video: Video, settings: Settings) -> Path:
    """Where a video's file is."""
    return out / "videos" / f"{video.fingerprint(settings.as_text())}.npz"
