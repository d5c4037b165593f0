"""Following a training run: a CSV file, TensorBoard events, and a check for NaN."""

import csv
import io
import math
from collections.abc import Mapping
from pathlib import Path

from tensorboardX import SummaryWriter

from matnet_jax.scores import atomic_text_file

_KEYS = ["step", "epoch", "split"]


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

    def __init__(self, workdir: Path, *, step: int = 0):
        self._path = workdir / "metrics.csv"
        self._rows = [row for row in read_metrics(workdir) if int(row["step"]) <= step]
        self._columns = _columns(self._rows)
        self._rewrite()
        # TensorBoard drops events at and after purge_step that older event files hold.
        self._tensorboard = SummaryWriter(
            logdir=str(workdir / "tb"), purge_step=step + 1 if step else None, flush_secs=10
        )

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
        """
        row = {"step": str(step), "epoch": f"{epoch:.6g}", "split": split}
        row |= {k: "" if value is None else repr(float(value)) for k, value in metrics.items()}
        self._rows.append(row)
        if set(row) <= set(self._columns):
            with open(self._path, "a", newline="") as file:
                csv.DictWriter(file, self._columns, lineterminator="\n").writerow(row)
        else:
            self._columns = _columns(self._rows)
            self._rewrite()
        for name, value in {**metrics, **(times or {})}.items():
            if value is not None:
                self._tensorboard.add_scalar(f"{split}/{name}", value, step)

    def close(self) -> None:
        self._tensorboard.close()

    def _rewrite(self) -> None:
        with atomic_text_file(self._path) as file:
            writer = csv.DictWriter(file, self._columns, lineterminator="\n")
            writer.writeheader()
            writer.writerows(self._rows)


def read_metrics(workdir: Path) -> list[dict[str, str]]:
    """Rows of ``metrics.csv``, empty fields left out; [] if there is no file.

    A last line that a killed run left incomplete is ignored.
    """
    path = workdir / "metrics.csv"
    if not path.exists():
        return []
    text = path.read_text()
    whole = text[: text.rfind("\n") + 1]
    rows = csv.DictReader(io.StringIO(whole))
    return [{name: value for name, value in row.items() if value} for row in rows]


def _columns(rows: list[dict[str, str]]) -> list[str]:
    names = dict.fromkeys(name for row in rows for name in row)
    return _KEYS + [name for name in names if name not in _KEYS]


class Mean:
    """Mean of each metric over the steps since the last log, kept exactly across a restart."""

    def __init__(
        self,
        sums: Mapping[str, float] | None = None,
        count: int = 0,
        skipped: int | None = None,
    ):
        self.sums: dict[str, float] = dict(sums or {})
        self.count, self.skipped = count, skipped

    def add(self, step: int, metrics: Mapping[str, float]) -> None:
        """Adds one step's metrics; of a skipped step, only that it was skipped.

        Raises:
          NonFiniteError: if one is NaN or infinite; the message has the step.
        """
        bad = {name: value for name, value in metrics.items() if not math.isfinite(value)}
        if bad:
            listed = ", ".join(f"{name} = {value}" for name, value in bad.items())
            raise NonFiniteError(f"{listed} at step {step}")
        skipped = metrics.get("skipped")
        if skipped is not None:
            self.skipped = (self.skipped or 0) + int(skipped)
        if not skipped:
            for name, value in metrics.items():
                if name != "skipped":
                    self.sums[name] = self.sums.get(name, 0.0) + float(value)
            self.count += 1

    def pop(self) -> dict[str, float]:
        """The means, and ``skipped_steps`` where steps can be skipped; and starts again.

        Raises:
          NonFiniteError: all steps were skipped.
        """
        if self.skipped and not self.count:
            raise NonFiniteError(f"all {self.skipped} steps since the last log were skipped")
        means = {name: value / self.count for name, value in self.sums.items()}
        if self.skipped is not None:
            means["skipped_steps"] = float(self.skipped)
            self.skipped = 0
        self.sums, self.count = {}, 0
        return means

    def state(self) -> dict[str, object]:
        """JSON values from which ``Mean(**state)`` continues."""
        return {"sums": dict(self.sums), "count": self.count, "skipped": self.skipped}
