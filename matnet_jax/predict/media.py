"""The faces of media files, decoded, detected and cropped ahead of the device."""

import dataclasses
import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from data_pipeline.detectors import Detector, Face
from data_pipeline.extract.crops import Settings, cut, find
from data_pipeline.extract.frames import Frame
from data_pipeline.extract.limits import Limits
from data_pipeline.extract.video import open_frames
from data_pipeline.training.ops import fit_to_size
from matnet_jax.predict.ahead import ahead, hand_over

Media = str | Path | np.ndarray
Watch = Callable[[Frame, Sequence[tuple[int, Face]]], None]

_FRAMES_AHEAD = 4  # decoded and waiting for the detector; few, since each may be large


@dataclasses.dataclass(frozen=True)
class Crop:
    """A face to score: uint8 RGB [S, S, 3], and where it is from."""

    file: int
    track: int
    frame: int
    timestamp: float
    box: tuple[float, float, float, float]
    image: np.ndarray


@dataclasses.dataclass(frozen=True)
class End:
    """No more faces come of a file: how many frames were looked at, and what was wrong."""

    file: int
    frames: int
    problem: str


class Faces:
    """The faces of files, in any order of files and each file's in order of time.

    Args:
      media: paths, or images as uint8 RGB [H, W, 3].
      settings: as for records: frames a file, crop, which faces.
      image_size: pixels that the network takes; crops are made as for records and then resized.
      make_detector: a detector for each thread.
      workers: threads; where there are fewer files, decoders have the rest.
      ahead: crops that may wait; more do not fit, whatever the length of a video.
      limits: of what decoding a file may take.
    """

    def __init__(
        self,
        media: Sequence[Media],
        settings: Settings,
        *,
        image_size: int,
        make_detector: Callable[[], Detector],
        workers: int,
        ahead: int,
        limits: Limits,
    ) -> None:
        self._limits = limits
        self._media, self._settings, self._image_size = media, settings, image_size
        self._make_detector = make_detector
        self._workers = min(workers, max(len(media), 1))
        self._decoders = max(1, workers // self._workers)
        self._queue: queue.Queue[Crop | End | BaseException] = queue.Queue(maxsize=ahead)
        self._stop = threading.Event()

    def __iter__(self) -> Iterator[Crop | End]:
        numbers = iter(range(len(self._media)))
        lock = threading.Lock()

        def work() -> None:
            detector: Detector | None = None
            try:
                while not self._stop.is_set():
                    with lock:
                        number = next(numbers, None)
                    if number is None:
                        return
                    detector = detector or self._make_detector()
                    for item in self._of_file(number, detector):
                        if not self._put(item):
                            return
            except BaseException as error:  # handed to the thread that reads
                self._put(error)

        cv2.setNumThreads(1)  # a thread a file: OpenCV's own would only fight them
        threads = [threading.Thread(target=work, daemon=True) for _ in range(self._workers)]
        for thread in threads:
            thread.start()
        try:
            ended = 0
            while ended < len(self._media):
                item = self._queue.get()
                if isinstance(item, BaseException):
                    raise item
                ended += isinstance(item, End)
                yield item
        finally:
            self._stop.set()

    def _of_file(self, number: int, detector: Detector) -> Iterator[Crop | End]:
        return faces_of(
            number,
            self._media[number],
            detector,
            self._settings,
            image_size=self._image_size,
            limits=self._limits,
            threads=self._decoders,
        )

    def _put(self, item: Crop | End | BaseException) -> bool:
        return hand_over(item, self._queue, unless=self._stop.is_set)


def faces_of(
    number: int,
    media: Media,
    detector: Detector,
    settings: Settings,
    *,
    image_size: int,
    limits: Limits,
    threads: int = 1,
    watch: Watch | None = None,
) -> Iterator[Crop | End]:
    """The faces of one file in order of time, and then its end; whatever it does is its `problem`.

    Args:
      number: the file's, which its crops carry.
      media: see `Faces`.
      detector: finds faces; a thread has its own.
      settings, image_size, limits: see `Faces`.
      threads: of the decoder; with more than one it works ahead of the detector.
      watch: is shown each frame with its faces before their crops come.
    """
    frames_seen, with_face, problems = 0, 0, []
    try:
        stream = _open(media, settings.num_frames, threads, limits)
        frames = ahead(stream, _FRAMES_AHEAD) if threads > 1 else stream
        for frame, faces in find(frames, detector, settings):
            frames_seen += 1
            with_face += bool(faces)
            if watch is not None:
                watch(frame, faces)
            for track, face in faces:
                x0, y0, x1, y1 = (float(v) for v in face.box)
                yield Crop(
                    number,
                    track,
                    frame.number,
                    frame.timestamp,
                    (x0, y0, x1, y1),
                    fit_to_size(cut(frame.image, face, settings), image_size),
                )
        problems.append(getattr(stream, "problem", ""))
    except Exception as error:  # whatever a file does to a decoder or a detector is its own
        known = isinstance(error, ValueError | OSError)
        problems.append(str(error) if known else f"{type(error).__name__}: {error}")
    if frames_seen and not with_face:
        problems.append(f"no face in {frames_seen} frames")
    yield End(number, frames_seen, "; ".join(filter(None, problems)))


def _open(media: Media, count: int, threads: int, limits: Limits) -> Any:
    if isinstance(media, np.ndarray):
        if media.dtype != np.uint8 or media.ndim != 3 or media.shape[-1] != 3:
            raise ValueError(
                f"an image is uint8 RGB [H, W, 3]; got {media.dtype} {list(media.shape)}"
            )
        return [Frame(0, 0.0, media)]
    return open_frames(Path(media), count, threads=threads, limits=limits)
