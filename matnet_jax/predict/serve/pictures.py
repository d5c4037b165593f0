"""A file's frames that show faces, kept as small JPEGs, and the heat maps to lay over them."""

import dataclasses
import threading
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from data_pipeline.detectors import Face
from data_pipeline.extract.crop import crop_matrix
from data_pipeline.extract.crops import Settings
from data_pipeline.extract.frames import Frame
from matnet_jax.predict.results import Prediction
from matnet_jax.report.overlays import laid_over

SIDE = 1280
"""Pixels of the longer side: larger frames are made smaller."""
_QUALITY = 85
_OVER, _UNDER, _BETWEEN = (224, 112, 47), (43, 131, 186), (140, 140, 140)


@dataclasses.dataclass(frozen=True)
class _Place:
    """Where a face is in its frame: what takes a pixel of the picture to the crop of `size`."""

    matrix: np.ndarray
    size: int


@dataclasses.dataclass(frozen=True)
class _Seen:
    """A face of a frame, in pixels of the picture; `heat` has values in [0, 1], [h, w]."""

    track: int
    box: tuple[float, float, float, float]
    score: float
    place: _Place
    heat: np.ndarray | None


class Pictures:
    """The frames of one file.

    Args:
      folder: for the pictures; whoever made it deletes it.
      stem: of their names, the service's own.
    """

    def __init__(self, folder: Path, stem: str) -> None:
        self._folder, self._stem = folder, stem
        self._scales: dict[int, float] = {}
        self._places: dict[tuple[int, int], _Place] = {}
        self._faces: dict[int, list[_Seen]] = {}
        self._threshold = 0.5
        self._uncertain: tuple[float, float] | None = None
        self._lock = threading.Lock()  # of what draws: matplotlib's colours are global

    def add(self, frame: Frame, faces: Sequence[tuple[int, Face]], settings: Settings) -> None:
        """Keeps a frame; one without faces is not kept.

        Raises:
          OSError: it cannot be written.
        """
        if not faces:
            return
        height, width = frame.image.shape[:2]
        scale = min(1.0, SIDE / max(height, width))
        size = (max(round(width * scale), 1), max(round(height * scale), 1))
        picture = cv2.resize(frame.image, size, interpolation=cv2.INTER_AREA)
        bgr = picture[..., ::-1]
        _, encoded = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
        self._path(frame.number).write_bytes(encoded.tobytes())
        self._scales[frame.number] = scale
        for track, face in faces:
            matrix = crop_matrix(
                face.box,
                face.landmarks,
                size=settings.crop_size,
                alignment=settings.alignment,
                margin=settings.margin,
            )
            if matrix is None:
                matrix = _centre_square(width, height, settings.crop_size)
            to_crop = matrix @ np.diag([1 / scale, 1 / scale, 1])
            self._places[frame.number, track] = _Place(to_crop, settings.crop_size)

    def take_heat(self, prediction: Prediction) -> Prediction:
        """Takes the heat maps out of a prediction: what is left is small.

        Of a face with several maps the strongest at each place is kept.
        """
        self._threshold, self._uncertain = prediction.threshold, prediction.uncertain
        tracks = []
        for track in prediction.tracks:
            faces = []
            for face in track.faces:
                faces.append(dataclasses.replace(face, attention=None, thumbnail=None))
                place = self._places.get((face.frame, track.number))
                if place is None:
                    continue
                scale = self._scales[face.frame]
                x0, y0, x1, y1 = (value * scale for value in face.box)
                heat = None if face.attention is None else _joined(face.attention)
                seen = _Seen(track.number, (x0, y0, x1, y1), face.score, place, heat)
                self._faces.setdefault(face.frame, []).append(seen)
            tracks.append(dataclasses.replace(track, faces=tuple(faces)))
        self._places.clear()
        return dataclasses.replace(prediction, tracks=tuple(tracks))

    def plain(self, number: int) -> bytes | None:
        """A frame as JPEG; None where it is not kept."""
        if number not in self._scales:
            return None
        try:
            return self._path(number).read_bytes()
        except FileNotFoundError:  # the job was removed just now
            return None

    def marked(self, number: int) -> bytes | None:
        """A frame with boxes, scores and heat maps as JPEG; None where it is not kept."""
        encoded = self.plain(number)
        if encoded is None:
            return None
        pixels = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_COLOR)
        assert pixels is not None  # it is our own
        with self._lock:
            drawn = self._drawn(pixels[..., ::-1].copy(), self._faces.get(number, []))
        _, marked = cv2.imencode(".jpg", drawn[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
        return marked.tobytes()

    def _drawn(self, image: np.ndarray, faces: list[_Seen]) -> np.ndarray:
        for face in faces:
            image = _heated(image, face)
        image = np.ascontiguousarray(image)
        thick = max(2, round(max(image.shape) / 480))
        scale = max(0.5, max(image.shape) / 1400)
        for face in faces:
            colour = self._colour(face.score)
            x0, y0, x1, y1 = (round(value) for value in face.box)
            cv2.rectangle(image, (x0, y0), (x1, y1), colour, thick)
            text = f"face {face.track}: {face.score:.2f}"
            (w, h), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, thick)
            top = max(y0 - h - 8, 0)
            cv2.rectangle(image, (x0, top), (x0 + w + 8, top + h + 8), colour, -1)
            where = (x0 + 4, top + h + 3)
            white = (255, 255, 255)
            font = cv2.FONT_HERSHEY_SIMPLEX
            cv2.putText(image, text, where, font, scale, white, max(thick // 2, 1), cv2.LINE_AA)
        return image

    def _colour(self, score: float) -> tuple[int, int, int]:
        if self._uncertain and self._uncertain[0] <= score <= self._uncertain[1]:
            return _BETWEEN
        return _OVER if score > self._threshold else _UNDER

    def _path(self, number: int) -> Path:
        return self._folder / f"{self._stem}-{number}.jpg"


def _joined(attention: np.ndarray) -> np.ndarray:
    """[h, w, K], not negative, to [h, w] in [0, 1]."""
    strongest = np.asarray(attention, np.float32).max(axis=-1)
    return (strongest / (float(strongest.max(initial=0.0)) or 1.0)).astype(np.float32)


def _heated(image: np.ndarray, face: _Seen) -> np.ndarray:
    if face.heat is None:
        return image
    size = (face.place.size, face.place.size)
    heat = _in_frame(cv2.resize(face.heat, size, interpolation=cv2.INTER_LINEAR), image, face)
    inside = _in_frame(np.ones(size, np.float32), image, face)[..., None]
    over = np.asarray(laid_over(Image.fromarray(image), heat), np.float32)
    return (image * (1 - inside) + over * inside).astype(np.uint8)


def _in_frame(crop: np.ndarray, image: np.ndarray, face: _Seen) -> np.ndarray:
    """A map of a face's crop where it is in the picture; 0 around it: [H, W]."""
    height, width = image.shape[:2]
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpAffine(crop, face.place.matrix, (width, height), flags=flags))


def _centre_square(width: int, height: int, size: int) -> np.ndarray:
    """What takes a picture's centre square to a crop: [2, 3]."""
    scale = size / min(width, height)
    left, top = max(width - height, 0) / 2, max(height - width, 0) / 2
    return np.array([[scale, 0, -scale * left], [0, scale, -scale * top]])
