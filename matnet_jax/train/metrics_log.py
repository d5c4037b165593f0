"""Following a training run: a CSV file, TensorBoard events, and a check for NaN."""

import contextlib
import csv
import math
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from tensorboardX import summary
from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto import event_pb2, summary_pb2

from data_pipeline.files import atomic_file
from matnet_jax.metrics.history import read_table

_KEYS = ["step", "epoch", "split"]
_HOPELESS = 50  # steps in a row without a finite loss


class NonFiniteError(ValueError):
    """A loss or a gradient became NaN or infinite."""


class MetricsLog:
    """``metrics.csv`` and ``tb/`` of one workdir.

    The CSV has one row for each (step, split) and one column for each metric; a new metric adds a
    column. It holds no times, so that an interrupted and continued run writes the same bytes as an
    uninterrupted one; times go to TensorBoard.

    Args:
      workdir: exists.
      step: what a killed run logged after this step is cut away: it will be logged again.
    """

    def __init__(self, workdir: Path, *, step: int = 0) -> None:
        self._path = workdir / "metrics.csv"
        columns, rows = read_table(self._path)
        ours = columns[: len(_KEYS)] == _KEYS
        self._rows = [row for row in rows if ours and int(row["step"]) <= step]
        # The file's own order: a metric that is undefined so far has a column, and no values.
        self._columns = columns if ours else list(_KEYS)
        self._rewrite()
        # Written here and now: tensorboardX's own thread dies on a full disk, and waits for itself.
        (workdir / "tb").mkdir(exist_ok=True)
        self._events = EventsWriter(str(workdir / "tb" / "events"), f".{os.getpid()}")
        if step:
            # TensorBoard drops what older files hold from this step on.
            start = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
            self._event(event_pb2.Event(step=step + 1, session_log=start))

    def write(
        self,
        step: int,
        epoch: float,
        split: str,
        metrics: Mapping[str, float | None],
        *,
        times: Mapping[str, float] | None = None,
    ) -> None:
        """Appends one row.

        Args:
          step: training steps done.
          epoch: the same in epochs.
          split: ``train`` or ``val``.
          metrics: by name; None (undefined) leaves the field empty.
          times: values that depend on the machine's speed; to TensorBoard alone.

        Raises:
          OSError: a file could not be written, on a full disk say.
        """
        row = {"step": str(step), "epoch": f"{epoch:.6g}", "split": split}
        row |= {k: "" if value is None else repr(float(value)) for k, value in metrics.items()}
        self._rows.append(row)
        with _explained(self._path):
            if set(row) <= set(self._columns):
                with open(self._path, "a", newline="") as file:
                    csv.DictWriter(file, self._columns, lineterminator="\n").writerow(row)
            else:
                self._columns += [name for name in row if name not in self._columns]
                self._rewrite()
        values = {**metrics, **(times or {})}
        parts = [
            summary.scalar(f"{split}/{name}", value).value[0]
            for name, value in values.items()
            if value is not None
        ]
        self._event(event_pb2.Event(step=step, summary=summary_pb2.Summary(value=parts)))

    def picture(self, step: int, name: str, image: np.ndarray) -> None:
        """Shows uint8 RGB [H, W, 3] in TensorBoard."""
        shown = summary.image(name, image, dataformats="HWC")
        self._event(event_pb2.Event(step=step, summary=shown))

    def close(self) -> None:
        """Closes the file of events."""
        with contextlib.suppress(OSError):  # each event was flushed, or its error raised
            self._events.close()

    def _event(self, event: event_pb2.Event) -> None:
        event.wall_time = time.time()
        with _explained(self._path.parent / "tb"):
            self._events.write_event(event)
            self._events.flush()

    def _rewrite(self) -> None:
        with atomic_file(self._path) as file:
            writer = csv.DictWriter(file, self._columns, lineterminator="\n")
            writer.writeheader()
            writer.writerows(self._rows)


@contextlib.contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Says what to do about a full disk."""
    try:
        yield
    except OSError as error:
        raise OSError(
            f"{path} could not be written ({error.strerror}); free some space and rerun: training "
            "goes on from the last checkpoint"
        ) from error


class Mean:
    """Mean of each metric over the steps since the last log, kept exactly across a restart."""

    def __init__(
        self,
        sums: Mapping[str, float] | None = None,
        count: int = 0,
        skipped: int | None = None,
        in_a_row: int = 0,
    ) -> None:
        self.sums: dict[str, float] = dict(sums or {})
        self.count, self.skipped, self.in_a_row = count, skipped, in_a_row

    def add(self, step: int, metrics: Mapping[str, float]) -> None:
        """Adds one step's metrics; of a skipped step, only that it was skipped.

        Raises:
          NonFiniteError: if one is NaN or infinite, and the message has the step; or so many steps
            were skipped that the next ones will be too.
        """
        bad = {name: value for name, value in metrics.items() if not math.isfinite(value)}
        if bad:
            listed = ", ".join(f"{name} = {value}" for name, value in bad.items())
            raise NonFiniteError(f"{listed} at step {step}")
        skipped = metrics.get("skipped")
        if skipped is not None:
            self.skipped = (self.skipped or 0) + int(skipped)
            self.in_a_row = self.in_a_row + 1 if skipped else 0
        if self.in_a_row >= _HOPELESS:
            raise NonFiniteError(f"{_HOPELESS} steps in a row were skipped, up to step {step}")
        if not skipped:
            for name, value in metrics.items():
                if name != "skipped":
                    self.sums[name] = self.sums.get(name, 0.0) + float(value)
            self.count += 1

    def pop(self) -> dict[str, float]:
        """The means, and ``skipped_steps`` where steps can be skipped; and starts again.

        Where all steps were skipped there are no means.
        """
        means = {name: value / self.count for name, value in self.sums.items()}
        if self.skipped is not None:
            means["skipped_steps"] = float(self.skipped)
            self.skipped = 0
        self.sums, self.count = {}, 0
        return means

    def state(self) -> dict[str, object]:
        """JSON values from which ``Mean(**state)`` continues."""
        own = {"sums": dict(self.sums), "count": self.count, "skipped": self.skipped}
        return own | ({"in_a_row": self.in_a_row} if self.in_a_row else {})
