"""A service: its private folder, jobs and worker, and what it allows."""

import contextlib
import dataclasses
import shutil
import tempfile
import threading
from pathlib import Path
from types import TracebackType
from typing import Any

from matnet_jax.predict.predictor import Predictor
from matnet_jax.predict.serve.jobs import File, Job, Jobs, Kept, Places
from matnet_jax.predict.serve.meters import Meters
from matnet_jax.predict.serve.worker import Worker


@dataclasses.dataclass(frozen=True)
class Allowed:
    """What clients may do.

    Attributes:
      upload_bytes: of one request.
      queue: files on their way at once.
      upload_seconds: for sending one request.
      idle_seconds: between two parts of it.
      wait_seconds: that an answer may be waited for.
      kept: of finished jobs.
      token: that requests have to bear; "" for none.
      hosts: names that the service answers to; empty for any.
    """

    upload_bytes: int = 200 * 2**20
    queue: int = 64
    upload_seconds: float = 600.0
    idle_seconds: float = 30.0
    wait_seconds: float = 300.0
    kept: Kept = dataclasses.field(default_factory=Kept)
    token: str = ""
    hosts: tuple[str, ...] = ()


class Service:
    """What the HTTP interface stands in front of; a context in which it works.

    Args:
      predictor: scores; the service's own from now on.
      allowed: what clients may do.
      sweep_every: seconds between looks for jobs that expired.

    Raises:
      DetectorError: on entering, if the detector cannot be set up.
    """

    def __init__(
        self, predictor: Predictor, allowed: Allowed | None = None, *, sweep_every: float = 5.0
    ) -> None:
        self.predictor, self.allowed = predictor, allowed or Allowed()
        self.meters = Meters()
        self.closing = False
        self._sweep_every = sweep_every
        self._ended = threading.Event()
        self._opened = contextlib.ExitStack()

    def __enter__(self) -> "Service":
        """Makes the folder, compiles the network and starts the worker."""
        with contextlib.ExitStack() as stack:
            folder = tempfile.mkdtemp(prefix="matnet-serve-")  # of mode 0700
            stack.callback(shutil.rmtree, folder, ignore_errors=True)
            self.folder = Path(folder)
            places = Places(self.allowed.queue)
            self.jobs = Jobs(self.folder, places, self.allowed.kept)
            self.meters.watch(self.jobs)
            self._worker = Worker(self.predictor, self.jobs, self.meters)
            self._worker.start()
            stack.callback(self._worker.stop)
            stack.callback(self.close)
            sweeper = threading.Thread(target=self._sweep, name="sweep", daemon=True)
            sweeper.start()
            stack.callback(sweeper.join)
            stack.callback(self._ended.set)
            self._opened = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Drops all jobs, ends the threads, deletes the folder."""
        self._opened.close()

    def close(self) -> None:
        """Takes no more jobs and drops those that there are; who waits for one is told."""
        self.closing = True
        self.jobs.clear()

    @property
    def ready(self) -> bool:
        """Whether jobs are taken and worked on."""
        return not self.closing and self._worker.alive

    def submit(self, folder: Path, uploads: list[tuple[str, Path]]) -> Job:
        """Makes a job of uploads (name, path) in its folder, whose places are taken."""
        frames = self.predictor.used_settings.num_frames
        job = Job([File(name, path, frames) for name, path in uploads], folder)
        self.jobs.add(job)
        self._worker.submit(job)
        if self.closing:  # since it was last asked
            self.jobs.remove(job.id)
        return job

    @property
    def about(self) -> dict[str, Any]:
        """What clients may know: the network by name, how it decides, and what is allowed."""
        network = self.predictor.network.about
        point = self.predictor.operating_point
        return {
            "network": str(network.get("weights") or Path(str(_place(network))).name),
            "threshold": point.threshold,
            "uncertain": None if point.uncertain is None else list(point.uncertain),
            "limits": self.predictor.stated_limits,
            "max_upload_bytes": self.allowed.upload_bytes,
            "queue": self.allowed.queue,
            "free": self.allowed.queue - self.jobs.places.taken,
            "kept_seconds": self.allowed.kept.seconds,
        }

    def _sweep(self) -> None:
        while not self._ended.wait(self._sweep_every):
            self.jobs.sweep()


def _place(about: Any) -> str:
    return about.get("workdir") or about.get("export") or ""
