"""One thread that owns the predictor and scores faces of all jobs, and threads that find them."""

import dataclasses
import queue
import threading
import time
from collections.abc import Sequence

import cv2
import numpy as np

from data_pipeline.cores import usable_cores
from data_pipeline.detectors import Detector, Face, create_detector
from data_pipeline.extract.frames import Frame
from data_pipeline.extract.kinds import kind_of_bytes
from matnet_jax.predict.ahead import hand_over
from matnet_jax.predict.media import Crop, End, faces_of
from matnet_jax.predict.predictor import Predictor
from matnet_jax.predict.results import FaceScore
from matnet_jax.predict.serve.jobs import RUNNING, File, Job, Jobs, drop_folder
from matnet_jax.predict.serve.meters import Meters
from matnet_jax.predict.windows import Window, Windows

NO_MEDIA = "no picture or video by its first bytes"
_HEAD = 512  # bytes
_LINGER = 0.02
"""Seconds that a batch with room waits for further faces."""


@dataclasses.dataclass(eq=False)
class _Task:
    """A file on its way: its faces so far."""

    job: Job
    file: File
    windows: Windows
    faces: list[tuple[int, FaceScore]] = dataclasses.field(default_factory=list)
    waiting: int = 0
    end: End | None = None
    problem: str = ""

    @property
    def dropped(self) -> bool:
        return self.job.removed


class Worker:
    """Scores the files of jobs in the order in which they come; batches go across jobs.

    Args:
      predictor: no one else uses it.
      jobs: get what came of their files.
      meters: are told.
    """

    def __init__(self, predictor: Predictor, jobs: Jobs, meters: Meters) -> None:
        self._predictor = dataclasses.replace(predictor, keep_attention=True)
        self._jobs, self._meters = jobs, meters
        self._tasks: queue.Queue[_Task | None] = queue.Queue()
        self._found: queue.Queue[tuple[_Task, Crop | End] | None] = queue.Queue(
            maxsize=2 * predictor.network.batch_size
        )
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Compiles the network and starts the threads.

        Raises:
          DetectorError: the detector cannot be set up.
        """
        predictor = self._predictor
        cv2.setNumThreads(1)  # a thread a file: OpenCV's own would only fight them
        count = predictor.workers or usable_cores()
        name, weights = predictor.used_settings.detector, predictor.detector_weights
        detectors = [create_detector(name, weights) for _ in range(count)]
        size, length = predictor.network.image_size, predictor.network.clip_length
        nothing = Crop(0, 0, 0, 0.0, (0.0, 0.0, 0.0, 0.0), np.zeros((size, size, 3), np.uint8))
        predictor.score([Window((nothing,), length)])
        threads = [
            threading.Thread(target=self._find, args=(detector,), name=f"find-{i}", daemon=True)
            for i, detector in enumerate(detectors)
        ]
        self._threads = [*threads, threading.Thread(target=self._score, name="score", daemon=True)]
        for thread in self._threads:
            thread.start()

    def submit(self, job: Job) -> None:
        """Queues a job's files."""
        for file in job.files:
            windows = Windows(self._predictor.network.clip_length)
            self._tasks.put(_Task(job, file, windows))

    def stop(self, seconds: float = 10.0) -> None:
        """Ends the threads; one that is inside a decoder for longer is left to the process' end."""
        self._stop.set()
        for _ in self._threads:
            self._tasks.put(None)
        deadline = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(deadline - time.monotonic(), 0.0))

    @property
    def alive(self) -> bool:
        """Whether all threads are."""
        return bool(self._threads) and all(thread.is_alive() for thread in self._threads)

    def _find(self, detector: Detector) -> None:
        while not self._stop.is_set():
            task = self._tasks.get()
            if task is None:
                return
            if not task.dropped:
                self._find_in(task, detector)
            if task.dropped:
                drop_folder(task.job.folder)

    def _find_in(self, task: _Task, detector: Detector) -> None:
        settings, file = self._predictor.used_settings, task.file

        def watch(frame: Frame, faces: Sequence[tuple[int, Face]]) -> None:
            file.seen += 1
            file.pictures.add(frame, faces, settings)

        file.state = RUNNING
        try:
            # Formats that FFmpeg knows by their text alone may name other files and addresses.
            with open(file.path, "rb") as upload:
                kind = kind_of_bytes(upload.read(_HEAD))
            if kind == "image":
                file.expected = 1
            if not kind:
                self._put(task, End(0, 0, NO_MEDIA))
                return
        except OSError as error:
            self._put(task, End(0, 0, str(error)))
            return
        for found in faces_of(
            0,
            file.path,
            detector,
            settings,
            image_size=self._predictor.network.image_size,
            limits=self._predictor.limits,
            watch=watch,
        ):
            if not self._put(task, found):
                return

    def _put(self, task: _Task, found: Crop | End) -> bool:
        def ended() -> bool:
            return self._stop.is_set() or task.dropped

        return hand_over((task, found), self._found, unless=ended)

    def _score(self) -> None:
        batch: list[tuple[_Task, Window]] = []
        size = self._predictor.network.batch_size
        while not self._stop.is_set():
            try:
                found = self._found.get(timeout=_LINGER if batch else 0.2)
            except queue.Empty:
                found = None
            if found is not None:
                task, item = found
                if isinstance(item, Crop):
                    made = [*task.windows.add(item)]
                else:
                    made, task.end = [*task.windows.end(item.file)], item
                task.waiting += len(made)
                batch += [(task, window) for window in made]
                self._finish_if_whole(task)
            while batch and (found is None or len(batch) >= size):
                self._score_batch(batch[:size])
                batch = batch[size:]

    def _score_batch(self, batch: list[tuple[_Task, Window]]) -> None:
        for task, _ in batch:
            task.waiting -= 1
        wanted = [(task, window) for task, window in batch if not task.dropped]
        if not wanted:
            return
        try:
            scores = self._predictor.score([window for _, window in wanted])
        except Exception as error:  # of a device: these files have no score, and others will
            for task, _ in wanted:
                task.problem = f"the network failed ({type(error).__name__}): try again"
        else:
            self._meters.scored(sum(map(len, scores)))
            for (task, window), faces in zip(wanted, scores, strict=True):
                task.faces += [(window.track, face) for face in faces]
        for task in dict.fromkeys(task for task, _ in wanted):
            self._finish_if_whole(task)

    def _finish_if_whole(self, task: _Task) -> None:
        if task.end is None or task.waiting or task.dropped:
            return
        end = dataclasses.replace(task.end, problem=self._said(task))
        faces = [] if task.problem else task.faces
        prediction = self._predictor.gather(task.file.name, end, faces)
        prediction = task.file.pictures.take_heat(prediction)
        if self._jobs.finish(task.job, task.file, prediction):
            self._meters.finished(prediction, time.monotonic() - task.file.accepted)

    def _said(self, task: _Task) -> str:
        """A file's problem, with the client's name of it in place of ours."""
        assert task.end is not None
        said = "; ".join(filter(None, (task.end.problem, task.problem)))
        return said.replace(str(task.file.path), task.file.name)
