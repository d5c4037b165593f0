"""Jobs: what a client uploaded, how far it is, what came of it; and the places that bound them."""

import contextlib
import dataclasses
import secrets
import shutil
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future, InvalidStateError
from pathlib import Path

from matnet_jax.predict.results import Prediction
from matnet_jax.predict.serve.pictures import Pictures

QUEUED, RUNNING, DONE = "queued", "running", "done"


class FullError(Exception):
    """There is no free place: come back later."""


class Places:
    """How many files may be on their way at once, from the first byte of the upload to the score.

    Args:
      count: of places.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self._taken = 0
        self._lock = threading.Lock()

    @property
    def taken(self) -> int:
        """Places that are not free."""
        return self._taken

    def take(self) -> None:
        """Takes one.

        Raises:
          FullError: there is none.
        """
        with self._lock:
            if self._taken >= self.count:
                raise FullError(f"all {self.count} places of the queue are taken: try again later")
            self._taken += 1

    def free(self, count: int = 1) -> None:
        """Gives back what was taken."""
        with self._lock:
            self._taken -= count


class Claim:
    """The places of one upload: the first is taken before its body is read.

    Args:
      places: that there are.

    Raises:
      FullError: there is none.
    """

    def __init__(self, places: Places) -> None:
        self._places = places
        self._used, self._taken = 0, 1
        places.take()

    def next(self) -> None:
        """A place for one more file.

        Raises:
          FullError: there is none.
        """
        if self._used == self._taken:
            self._places.take()
            self._taken += 1
        self._used += 1

    def free(self) -> None:
        """Gives all of them back: no job was made."""
        self._places.free(self._taken)
        self._taken = self._used = 0


class File:
    """One file of a job.

    Args:
      name: as the client calls it; it is shown, and never a path.
      path: where the upload is, until it is scored.
      expected: frames of a video that will be looked at.

    Attributes:
      state: `QUEUED`, `RUNNING` or `DONE`.
      seen: frames that were looked at.
      prediction: what came of it, once it is done.
      pictures: its frames that show faces.
    """

    def __init__(self, name: str, path: Path, expected: int) -> None:
        self.name, self.path, self.expected = name, path, expected
        self.state, self.seen = QUEUED, 0
        self.prediction: Prediction | None = None
        self.pictures = Pictures(path.parent, path.name)
        self.accepted = time.monotonic()

    @property
    def progress(self) -> float:
        """From 0 to 1; 1 is done, and nothing else is."""
        return 1.0 if self.state == DONE else 0.99 * min(self.seen / self.expected, 1.0)


class Job:
    """Files that a client sent at once.

    Args:
      files: at least one.
      folder: the job's own, deleted with it.

    Attributes:
      done: set when no file is left, or the job was removed.
      removed: whether nobody wants it any more.
      finished: when it was done, on the clock of `time.monotonic`; None before.
    """

    def __init__(self, files: Sequence[File], folder: Path) -> None:
        self.id = folder.name
        self.files, self.folder = tuple(files), folder
        self.done: Future[None] = Future()
        self.removed = False
        self.finished: float | None = None

    @property
    def state(self) -> str:
        """`QUEUED` until a file is begun, `DONE` when none is left."""
        states = {file.state for file in self.files}
        return states.pop() if len(states) == 1 else RUNNING

    @property
    def progress(self) -> float:
        """From 0 to 1."""
        return sum(file.progress for file in self.files) / len(self.files)


@dataclasses.dataclass(frozen=True)
class Kept:
    """What is kept of jobs that are done.

    Attributes:
      seconds: for so long.
      jobs: and so many; the oldest go first.
    """

    seconds: float = 1800.0
    jobs: int = 200


class Jobs:
    """All jobs of a service, by their ids, which nobody can guess.

    Args:
      folder: private; each job has a folder in it.
      places: those that the jobs' files hold until they are done.
      kept: what of finished jobs is.
    """

    def __init__(self, folder: Path, places: Places, kept: Kept) -> None:
        self._folder, self.places, self._kept = folder, places, kept
        self._jobs: dict[str, Job] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        """Jobs that are on their way or kept."""
        return len(self._jobs)

    def folder_name(self) -> Path:
        """Of a folder for a job to be, which is not there yet."""
        return self._folder / secrets.token_urlsafe(16)

    def add(self, job: Job) -> None:
        """Adds a job whose files have taken their places."""
        with self._lock:
            self._jobs[job.id] = job

    def get(self, name: str) -> Job | None:
        """The job of an id; None where there is none, or none any more."""
        return self._jobs.get(name)

    def remove(self, name: str) -> bool:
        """Forgets a job, and frees its places and its files; False where there is none."""
        with self._lock:
            job = self._jobs.pop(name, None)
            if job is None:
                return False
            job.removed = True
            left = [file for file in job.files if file.state != DONE]
            for file in left:
                file.state = DONE  # whoever works on it drops it
        self.places.free(len(left))
        _settle(job)
        shutil.rmtree(job.folder, ignore_errors=True)
        return True

    def finish(self, job: Job, file: File, prediction: Prediction) -> bool:
        """Keeps what came of a file, and deletes the upload; False if the job was removed."""
        with self._lock:
            if job.removed:
                return False
            file.prediction, file.state = prediction, DONE
            last = job.state == DONE
            if last:
                job.finished = time.monotonic()
        self.places.free()
        file.path.unlink(missing_ok=True)
        if last:
            _settle(job)
        return True

    def sweep(self) -> None:
        """Removes jobs that were done long enough ago, and the oldest of too many."""
        with self._lock:
            ended = [(job.finished, job.id) for job in self._jobs.values() if job.finished]
        ended.sort()
        old = time.monotonic() - self._kept.seconds
        excess = len(ended) - self._kept.jobs
        for i, (finished, name) in enumerate(ended):
            if finished < old or i < excess:
                self.remove(name)

    def expires_in(self, job: Job) -> float | None:
        """Seconds until a job is swept; None while it is on its way."""
        if job.finished is None:
            return None
        return max(job.finished + self._kept.seconds - time.monotonic(), 0.0)

    def clear(self) -> None:
        """Removes all jobs."""
        for name in list(self._jobs):
            self.remove(name)


def drop_folder(folder: Path) -> None:
    """Deletes a folder of uploads, or what was written into one since it was deleted."""
    if folder.is_dir():
        shutil.rmtree(folder, ignore_errors=True)


def _settle(job: Job) -> None:
    with contextlib.suppress(InvalidStateError):  # finished and removed at once, in two threads
        job.done.set_result(None)
