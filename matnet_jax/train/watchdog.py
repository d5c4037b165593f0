"""Telling which process of a job hangs, and where."""

import contextlib
import faulthandler
import json
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from data_pipeline.files import atomic_file

_WRITE_SECONDS = 10.0


class Watchdog:
    """Writes down what this process does, and complains when that does not change for long.

    Each process has a file in `folder`, so that they can be compared from any machine of the job.

    Args:
      folder: shared by all processes; made when it is not there.
      process: this one's index.
      seconds: of silence after which it complains: to standard error, with all processes' last
        words and this one's stacks. The run goes on; whoever watches may end it.
    """

    def __init__(self, folder: Path, process: int, *, seconds: float) -> None:
        self._folder, self._process, self._seconds = folder, process, seconds
        self._doing = ("starting", 0)
        self._since = time.time()
        self._written = 0.0
        self._complained = False
        self._stop = threading.Event()

    def __enter__(self) -> "Watchdog":
        self._folder.mkdir(parents=True, exist_ok=True)
        self._thread = threading.Thread(target=self._watch, daemon=True, name="watchdog")
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._path(self._process).unlink(missing_ok=True)

    def now(self, doing: str, step: int) -> None:
        """What this process begins to do, and at which step."""
        self._doing, self._since, self._complained = (doing, step), time.time(), False

    @contextlib.contextmanager
    def during(self, doing: str, step: int) -> Iterator[None]:
        """The same for a block; afterwards it is what it was before."""
        before = self._doing[0]
        self.now(doing, step)
        yield
        self.now(before, step)

    def _watch(self) -> None:
        pause = min(1.0, self._seconds / 4)
        while not self._stop.wait(pause):
            if time.time() - self._written > min(_WRITE_SECONDS, self._seconds / 4):
                self._write()
            if not self._complained and time.time() - self._since > self._seconds:
                self._complained = True
                self._write()
                print(self._complaint(), file=sys.stderr, flush=True)
                with contextlib.suppress(OSError, ValueError):  # no real file behind stderr
                    faulthandler.dump_traceback(sys.stderr)

    def _path(self, process: int) -> Path:
        return self._folder / f"{process}.json"

    def _write(self) -> None:
        (doing, step), since = self._doing, self._since
        # A full disk or a folder that went away must not end a run that watches itself.
        with contextlib.suppress(OSError), atomic_file(self._path(self._process)) as file:
            json.dump({"doing": doing, "step": step, "since": since}, file)
        self._written = time.time()

    def _complaint(self) -> str:
        doing, step = self._doing
        lines = [
            f"process {self._process} has been {doing} (step {step}) for "
            f"{time.time() - self._since:.0f} s. All processes:"
        ]
        for path in sorted(self._folder.glob("[0-9]*.json"), key=lambda p: int(p.stem)):
            with contextlib.suppress(OSError, ValueError, KeyError):
                word = json.loads(path.read_text())
                seconds = time.time() - word["since"]
                lines.append(
                    f"  process {path.stem}: {word['doing']}, step {word['step']}, {seconds:.0f} s"
                )
        lines.append("the one whose step is lowest, or whose file is missing, holds the others up")
        return "\n".join(lines)
