"""From a video to its face crops."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from data_pipeline.datasets import Video
from data_pipeline.detectors import Detector, Face
from data_pipeline.extract.again import passes, state_of
from data_pipeline.extract.crop import (
    ALIGNMENTS,
    MARGIN,
    crop_face,
    crop_mask,
    crop_matrix,
    crop_points,
)
from data_pipeline.extract.extraction import FORMAT, Extraction, State
from data_pipeline.extract.frames import Frame
from data_pipeline.extract.locate import Boxes, Located, locate, place
from data_pipeline.extract.masks import Masks, encode_mask
from data_pipeline.extract.protocol import CropProtocol
from data_pipeline.extract.video import open_frames
from data_pipeline.landmarks.face_mesh import NUM_POINTS, FaceMesh

IMAGE_FORMATS = ("jpeg", "png")
DENSE_LANDMARKS = {"": 0, "face_mesh": NUM_POINTS}
"""How many dense landmarks a crop has, by what finds them; "" for none."""
ORIGINALS = "originals"
"""Value of `Settings.boxes_from`: a fake gets the boxes of its real video."""


@dataclasses.dataclass(frozen=True)
class Settings:
    """What is done with every video.

    Attributes:
      detector: name of the face detector; "none" takes images as the crops that they are.
      num_frames: frames a video, spread evenly.
      crop_size: pixels.
      alignment: "similarity" or "box".
      faces: see `locate`.
      detect_every: of the chosen frames, detect on every so many and interpolate between.
      min_face: shorter boxes, in pixels of the frame, are no faces.
      min_score: fainter detections are none either.
      image_format: of the crops, "jpeg" or "png".
      quality: of JPEG.
      boxes_from: "", `ORIGINALS`, or the folder of an earlier run whose boxes are taken for the
        same video in any compression, or for fakes of it. A video without such boxes is searched.
      masks: whether the forged region's masks are cut along; frames without one are left out.
      margin: the crop's side in sides of the face; it says nothing where nothing is cut.
      landmarks: of `DENSE_LANDMARKS`, what is stored beside the detector's 5.
      detector_sha256: of the detector's file where any may be given, as RetinaFace's; else "".

    Raises:
      ValueError: unknown landmarks, or some that need a detector where there is none.
    """

    detector: str = "yunet"
    num_frames: int = 32
    crop_size: int = 380
    alignment: str = "similarity"
    faces: str = "largest"
    detect_every: int = 1
    min_face: int = 20
    min_score: float = 0.0
    image_format: str = "jpeg"
    quality: int = 95
    boxes_from: str = ""
    masks: bool = False
    margin: float = MARGIN
    landmarks: str = ""
    detector_sha256: str = ""

    def __post_init__(self) -> None:
        if self.detector == "none":
            object.__setattr__(self, "alignment", "none")
        if self.landmarks not in DENSE_LANDMARKS:
            known = ", ".join(filter(None, DENSE_LANDMARKS))
            raise ValueError(f"unknown landmarks '{self.landmarks}'; available: {known}")
        if self.landmarks and self.alignment == "none":
            raise ValueError(
                f"landmarks '{self.landmarks}' need a detector that says where the face and its "
                "eyes are, and with detector 'none' images are taken as they are: choose another "
                "detector, such as yunet, or no landmarks"
            )

    @property
    def crop_version(self) -> str:
        """As records carry it."""
        return ALIGNMENTS[self.alignment]

    @property
    def protocol(self) -> CropProtocol:
        """How a face lies in the crops of these settings."""
        return CropProtocol(
            alignment=self.alignment,
            margin=1.0 if self.alignment == "none" else self.margin,
            crop_size=self.crop_size,
            crop_version=self.crop_version,
            detector=self.detector,
        )

    @classmethod
    def from_protocol(cls, protocol: CropProtocol, **fields: Any) -> Settings:
        """Settings that cut as a protocol says; `fields` are the others of this class.

        Raises:
          ValueError: this version of the project cuts in another way; the message has both values.
        """
        settings = cls(
            margin=MARGIN if protocol.alignment == "none" else protocol.margin,
            detector=protocol.detector,
            crop_size=protocol.crop_size,
            alignment=protocol.alignment,
            **fields,
        )
        if protocol.alignment not in ALIGNMENTS:
            known = ", ".join(ALIGNMENTS)
            raise ValueError(f"unknown alignment '{protocol.alignment}'; available: {known}")
        if differences := protocol.differences(settings.protocol):
            raise ValueError(
                "this version cannot cut faces as the protocol says, which comes first: "
                f"{'; '.join(differences)}"
            )
        return settings

    def as_text(self) -> str:
        """For fingerprints: equal settings give equal text."""
        fields = {**dataclasses.asdict(self), "version": self.crop_version, "format": FORMAT}
        # Files from before there were these fields keep their names.
        defaults = {"masks": False, "margin": MARGIN, "landmarks": "", "detector_sha256": ""}
        for name, before in defaults.items():
            if fields[name] == before:
                del fields[name]
        return json.dumps(fields)


def extract_video(
    video: Video,
    settings: Settings,
    detector: Detector,
    *,
    boxes: Boxes | None = None,
    mesh: FaceMesh | None = None,
) -> Extraction:
    """Decodes, detects and crops; what goes wrong with a video is in `problem`, never raised.

    Args:
      video: its file is read.
      settings: of all videos.
      detector: finds faces where `boxes` is None.
      boxes: found earlier on the same footage.
      mesh: finds the dense landmarks, where the settings ask for them.
    """
    problems: list[str] = []
    state = state_of(video, masks=settings.masks)
    broken: Exception | None
    crops = _Crops(settings, mesh)
    read = 0
    try:
        frames = open_frames(video.path, settings.num_frames)
        masks = Masks(video, frames.wanted) if settings.masks else None
        for one in place(frames, boxes) if boxes is not None else find(frames, detector, settings):
            read += 1
            crops.add(one, masks)
        problems += [frames.problem, masks.problem if masks else ""]
        broken = frames.error
    except ValueError as error:  # VideoError, and boxes of other footage
        problems.append(str(error))
        broken = error
    if crops.faceless:
        problems.append(f"no face in {crops.faceless} of {read} frames")
    problem = "; ".join(filter(None, problems))
    if not problem or passes(broken) or state != state_of(video, masks=settings.masks):
        state = None
    return crops.extraction(video, problem, state)


def find(frames: Iterable[Frame], detector: Detector, settings: Settings) -> Iterator[Located]:
    """The faces of frames, as `locate` finds them with these settings."""
    return locate(
        frames,
        detector,
        faces=settings.faces,
        every=settings.detect_every,
        min_face=settings.min_face,
        min_score=settings.min_score,
    )


def cut(image: np.ndarray, face: Face, settings: Settings) -> np.ndarray:
    """The crop of a face with these settings: for records and for prediction alike."""
    return crop_face(image, face.box, face.landmarks, **_geometry(settings))


def cut_mask(mask: np.ndarray, face: Face, settings: Settings) -> np.ndarray:
    """The mask of a face's crop: uint8 [H, W] of the frame to [size, size]."""
    return crop_mask(mask, face.box, face.landmarks, **_geometry(settings))


def cut_points(points: np.ndarray, face: Face, settings: Settings) -> np.ndarray:
    """Where points [K, 2] of the frame are in a face's crop, which something was cut for."""
    matrix = crop_matrix(face.box, face.landmarks, **_geometry(settings))
    assert matrix is not None  # `Settings` refuses landmarks where nothing is cut
    return crop_points(points, matrix)


def _geometry(settings: Settings) -> dict[str, Any]:
    """Of a crop: what `crop_matrix` asks beside the face."""
    return {
        "size": settings.crop_size,
        "alignment": settings.alignment,
        "margin": settings.margin,
    }


def failed(
    video: Video, settings: Settings, problem: str, error: Exception | None = None
) -> Extraction:
    """What is kept of a video that gave nothing, and why; `error` is what it was raised as."""
    state = None if passes(error) else state_of(video, masks=settings.masks)
    return _Crops(settings).extraction(video, problem, state)


class _Crops:
    """Collects crops and where they come from."""

    def __init__(self, settings: Settings, mesh: FaceMesh | None = None) -> None:
        self._settings, self._mesh = settings, mesh
        self._rows: list[tuple[int, float, int, Face]] = []
        self._images: list[bytes] = []
        self._masks: list[bytes] = []
        self._dense: list[np.ndarray] = []
        self._size = (0, 0)
        self.faceless = 0

    def add(self, located: Located, masks: Masks | None) -> None:
        frame, faces = located
        height, width = frame.image.shape[:2]
        self._size = (width, height)
        self.faceless += not faces
        mask = masks.of(frame) if masks and faces else None
        if masks and mask is None:
            return  # in records with masks, each has one
        for track, face in faces:
            if self._mesh is not None:
                points = self._mesh.points(frame.image, face.box, face.landmarks)
                self._dense.append(cut_points(points, face, self._settings))
            crop = cut(frame.image, face, self._settings)
            self._images.append(encode(crop, self._settings.image_format, self._settings.quality))
            if mask is not None:
                self._masks.append(encode_mask(cut_mask(mask, face, self._settings)))
            self._rows.append((frame.number, frame.timestamp, track, face))

    def extraction(self, video: Video, problem: str, state: State | None) -> Extraction:
        meta = {
            name: getattr(video, name)
            for name in (
                *("dataset", "subset", "compression", "split"),
                *("video_id", "source_id", "label"),
            )
        }
        faces = [face for *_, face in self._rows]
        count = DENSE_LANDMARKS[self._settings.landmarks]
        return Extraction(
            meta={**meta, "crop_version": self._settings.crop_version},
            crops=self._images,
            frame=np.array([number for number, *_ in self._rows], np.int32),
            timestamp=np.array([time for _, time, *_ in self._rows], np.float32),
            face=np.array([track for _, _, track, _ in self._rows], np.int32),
            box=np.array([face.box for face in faces], np.float32).reshape(-1, 4),
            landmarks=np.array([face.landmarks for face in faces], np.float32).reshape(-1, 5, 2),
            score=np.array([face.score for face in faces], np.float32),
            size=np.array(self._size, np.int32),
            problem=problem,
            state=state,
            masks=self._masks,
            landmarks_dense=np.array(self._dense, np.float32).reshape(-1, count, 2)
            if count
            else None,
        )


def encode(image: np.ndarray, image_format: str, quality: int) -> bytes:
    """uint8 RGB [H, W, 3] to the bytes of a JPEG or PNG.

    Raises:
      ValueError: an unknown format.
    """
    if image_format not in IMAGE_FORMATS:
        known = ", ".join(IMAGE_FORMATS)
        raise ValueError(f"unknown image format '{image_format}'; available: {known}")
    options = [cv2.IMWRITE_JPEG_QUALITY, quality] if image_format == "jpeg" else []
    bgr = np.ascontiguousarray(image[..., ::-1])
    return cv2.imencode(f".{image_format}", bgr, options)[1].tobytes()


def extraction_path(out: Path, video: Video, settings: Settings) -> Path:
    """Where a video's file is."""
    return out / "videos" / f"{video.fingerprint(settings.as_text())}.npz"
