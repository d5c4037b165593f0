"""Extraction on Apache Beam: on this machine's cores, or on any runner that Beam has.

Workers write one file a finished video into a folder that all of them share. Nothing flows back, so
a run that ends for whatever reason leaves whole files, and the next does what is missing.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import shlex
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import apache_beam as beam
import cv2
import psutil
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from apache_beam.transforms.environments import SubprocessSDKEnvironment

from data_pipeline.cores import usable_cores
from data_pipeline.datasets import Video
from data_pipeline.detectors import Detector, create_detector
from data_pipeline.extract.attempts import (
    LIMIT,
    attempt,
    attempts,
    forget_attempts,
    settle_attempts,
)
from data_pipeline.extract.crops import Settings, extract_video, extraction_path, failed
from data_pipeline.extract.footage import box_files, stored_boxes
from data_pipeline.landmarks.face_mesh import FaceMesh

_HARNESS = "apache_beam.runners.worker.sdk_worker_main"
_POLL_SECONDS = 0.5
_GRACE_SECONDS = 10.0  # between the end of a worker and the end of its pipeline
_START_SECONDS = 60.0  # from the start, or from the last worker's end, to the next one's start
_FRUITLESS_RUNS = 3


class ExtractionError(RuntimeError):
    """A run ended before all videos were done; the message says why."""


class _WorkerDied(Exception):
    """A local worker process ended, which Beam notices at times, and at others waits on forever."""


def extract(
    videos: Iterable[Video],
    settings: Settings,
    out: Path,
    *,
    weights: Path | None = None,
    landmark_weights: Path | None = None,
    workers: int | None = None,
    beam_options: Sequence[str] = (),
    progress: Callable[[int], object] = lambda more: None,
) -> None:
    """Extracts the videos that have no file yet.

    A video whose worker process dies on it (a crash in the decoder, too little memory) is tried
    again; after `attempts.LIMIT` deaths it is recorded as a failure, and the others go on.

    Args:
      videos: each gets one file, `extraction_path`.
      settings: of all of them.
      out: folder of the files; on a cluster, one that all workers see under this path.
      weights, landmark_weights: files of detector and dense landmarks; seen by all workers too.
      workers: local processes; None for one a core.
      beam_options: as Beam takes them, such as ``--runner=FlinkRunner``; none for local processes.
      progress: is told of finished videos as they come, so many at a time.

    Raises:
      ExtractionError: the runner refused its options, or failed, or nothing more gets done.
      ValueError: see `box_files`.
    """
    files = {extraction_path(out, video, settings): video for video in videos}
    boxes = box_files(files.values(), settings, out)
    waiting = {path: video for path, video in files.items() if not path.exists()}
    (out / "videos").mkdir(parents=True, exist_ok=True)
    settle_attempts(out / "videos")  # what an earlier run had in hand when it was killed
    counter = _Counter(out, progress)
    fruitless = 0
    while waiting:
        # A video whose boxes are found in this run waits for them.
        ready = {path: v for path, v in waiting.items() if boxes.get(v) not in waiting}
        pipeline = _local(out, workers, len(ready)) if not beam_options else _remote(beam_options)
        _ = (
            pipeline
            | beam.Create([(video, boxes.get(video)) for video in ready.values()])
            | beam.Reshuffle()  # else one worker gets them all
            | beam.ParDo(_Extract(settings, out, weights, landmark_weights))
        )
        try:
            _run(pipeline, watched=not beam_options, tick=counter.tick, files=out / "videos")
            died = False
        except _WorkerDied:
            died = True
        except KeyboardInterrupt:
            forget_attempts(out / "videos")
            raise
        left = {path for path in ready if not path.exists()}
        waiting = {path: v for path, v in waiting.items() if path not in ready or path in left}
        fruitless = 0 if len(left) < len(ready) else fruitless + 1
        if left and (not died or fruitless == _FRUITLESS_RUNS):
            why = "worker processes keep dying" if died else "the runner ended early"
            raise ExtractionError(
                f"{why}: {len(files) - len(waiting)} of {len(files)} videos are done. Too little "
                f"memory? Fewer --workers need less; see {_log(out)}. The same command continues"
            )


class _Extract(beam.DoFn):
    """Writes the file of each video."""

    def __init__(
        self,
        settings: Settings,
        out: Path,
        weights: Path | None,
        landmark_weights: Path | None = None,
    ) -> None:
        self._settings, self._out = settings, out
        self._weights, self._landmark_weights = weights, landmark_weights
        self._detector: Detector | None = None
        self._mesh: FaceMesh | None = None

    def setup(self) -> None:
        cv2.setNumThreads(1)  # a process a core: OpenCV's own threads would only fight them
        self._detector = create_detector(self._settings.detector, self._weights)
        if self._settings.landmarks:
            self._mesh = FaceMesh(self._landmark_weights)

    def process(self, item: tuple[Video, Path | None]) -> None:
        video, boxes = item
        path = extraction_path(self._out, video, self._settings)
        if path.exists():  # a runner may try a bundle twice
            return
        deaths = attempts(path)
        if deaths >= LIMIT:
            reason = f"its worker process died {deaths} times (decoder crash, or memory too small)"
            failed(video, self._settings, reason).save(path)
            return
        with attempt(path):
            assert self._detector is not None
            try:
                extraction = extract_video(
                    video,
                    self._settings,
                    self._detector,
                    boxes=stored_boxes(boxes),
                    mesh=self._mesh,
                )
            except Exception as error:  # one odd file must not end a run over thousands
                reason = f"unexpected {type(error).__name__}: {error}"
                extraction = failed(video, self._settings, reason, error)
            extraction.save(path)


def _log(out: Path) -> Path:
    return out / "workers.log"


def _local(out: Path, workers: int | None, most: int) -> beam.Pipeline:
    """A process a core; what workers print goes to a file, away from the progress bar."""
    count = min(workers or usable_cores(), most)
    command = f"{shlex.quote(sys.executable)} -m {_HARNESS} >> {shlex.quote(str(_log(out)))} 2>&1"
    environment = SubprocessSDKEnvironment.from_command_string(f"exec {command}")
    options = PipelineOptions([f"--direct_num_workers={count}"])
    return beam.Pipeline(FnApiRunner(default_environment=environment), options=options)


def _remote(beam_options: Sequence[str]) -> beam.Pipeline:
    complaint = io.StringIO()
    try:
        with contextlib.redirect_stderr(complaint):  # argparse prints pages, then leaves
            return beam.Pipeline(options=PipelineOptions(list(beam_options)))
    except (ValueError, SystemExit) as error:
        why = (complaint.getvalue().strip() or str(error)).splitlines()[-1]
        raise ExtractionError(f"Beam refuses {' '.join(beam_options)}: {why}") from error


def _run(pipeline: beam.Pipeline, *, watched: bool, tick: Callable[[], None], files: Path) -> None:
    """Runs a pipeline to its end, in a thread, so that this one can watch and be interrupted."""
    failure: list[BaseException] = []

    def run() -> None:
        try:
            pipeline.run().wait_until_finish()
        except BaseException as error:  # handed to the caller's thread
            failure.append(error)

    logging.getLogger("apache_beam").setLevel(logging.ERROR)
    thread = threading.Thread(target=run, daemon=True, name="beam")
    thread.start()
    seen: set[psutil.Process] = set()
    working = time.monotonic()
    try:
        while thread.is_alive():
            thread.join(_POLL_SECONDS)
            tick()
            if watched:
                seen |= set(_workers())
                alive = [worker for worker in seen if _is_alive(worker)]
                working = time.monotonic() if alive else working
                if len(alive) < len(seen) or time.monotonic() - working > _START_SECONDS:
                    thread.join(_GRACE_SECONDS)  # at the end of a run, workers end first
                    if thread.is_alive():
                        raise _WorkerDied
    finally:
        tick()
        settle_attempts(files, _end(_workers()))
    if failure:
        # Beam may notice a dead worker itself. What a worker raised comes with its traceback.
        if watched and "Traceback" not in str(failure[0]):
            raise _WorkerDied from failure[0]
        raise ExtractionError(_last_line(failure[0])) from failure[0]


def _workers() -> list[psutil.Process]:
    found = []
    for process in psutil.Process().children(recursive=True):
        try:
            if _HARNESS in " ".join(process.cmdline()):
                found.append(process)
        except psutil.Error:
            continue  # ended meanwhile
    return found


def _end(workers: Sequence[psutil.Process]) -> set[int]:
    """Kills them, and waits until they are gone; the processes that were not gone before."""
    for worker in workers:
        with contextlib.suppress(psutil.Error):
            worker.kill()
    gone, _ = psutil.wait_procs(workers, timeout=_GRACE_SECONDS)
    # One that had ended by itself, whatever it died on, has another status.
    return {worker.pid for worker in gone if worker.returncode in (None, -signal.SIGKILL)}


def _is_alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _last_line(error: BaseException) -> str:
    """Beam's errors carry the worker's whole traceback; its last line says what happened."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    while lines and lines[-1].startswith(("File ", "^", "[while running", "raise ")):
        lines.pop()
    text = lines[-1] if lines else f"{type(error).__name__} (is the runner's service reachable?)"
    return f"extraction stopped: {text}. Finished videos are kept; the same command continues"


class _Counter:
    """Counts files by listing their folder: one call, however many videos."""

    def __init__(self, out: Path, progress: Callable[[int], object]) -> None:
        self._folder, self._progress = out / "videos", progress
        self._seen = self._count()

    def _count(self) -> int:
        with os.scandir(self._folder) as entries:
            return sum(entry.name.endswith(".npz") for entry in entries)

    def tick(self) -> None:
        now = self._count()
        self._progress(now - self._seen)
        self._seen = now
