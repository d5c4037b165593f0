"""The training loop: which step logs, validates and saves; it knows no config and no model."""

import contextlib
import dataclasses
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from data_pipeline.progress import Progress
from matnet_jax.checkpoints.orbax import Checkpoints
from matnet_jax.runtime.preemption import Preempted, Preemption
from matnet_jax.runtime.sharding import global_batch
from matnet_jax.train.metrics_log import Mean, MetricsLog, NonFiniteError
from matnet_jax.train.plan import Plan
from matnet_jax.train.profiling import Profiler
from matnet_jax.train.watchdog import Watchdog

Metrics = dict[str, float | None]


@dataclasses.dataclass
class Loop:
    """Runs a train step over batches.

    Attributes:
      plan: length of the run, periods and rates.
      train_step: jitted (state, batch, key) -> (state, metrics), its state donated.
      validate: state -> validation metrics.
      checkpoints: where states go.
      metadata: saved with each checkpoint, beside the running means under "window".
      log: None in processes that write no logs.
      mesh: of the devices that batches are split over.
      preemption: asked after each step whether to save and end.
      watchdog: is told what the loop does.
      profiler: is told of each step before it.
    """

    plan: Plan
    train_step: Callable[[Any, Any, jax.Array], tuple[Any, dict[str, jax.Array]]]
    validate: Callable[[Any], Metrics]
    checkpoints: Checkpoints
    metadata: Mapping[str, Any]
    log: MetricsLog | None
    mesh: Mesh
    preemption: Preemption
    watchdog: Watchdog
    profiler: Profiler

    def run(
        self, state: Any, batches: Iterator[dict[str, np.ndarray]], key: jax.Array, window: Mean
    ) -> Any:
        """From the state's step to the end of the plan.

        Args:
          state: a train state; it is donated.
          batches: this process's part of each batch, from the state's step on.
          key: the run's root key, on all devices; the step folds in its number.
          window: means of the steps since the last log.

        Returns:
          The last state.

        Raises:
          NonFiniteError: a metric became NaN or infinite. The last good checkpoint stays.
          Preempted: the run was asked to end, and everything up to its step is saved.
        """
        plan, first = self.plan, int(state.step)
        validated = None
        bar = Progress(
            plan.total_steps, done=first, unit="step", about="train", quiet=self.log is None
        )
        clock = _Clock()
        pending: tuple[int, dict[str, jax.Array]] | None = None
        with bar:
            for step in range(first + 1, plan.total_steps + 1):
                self.profiler.before(step)
                self.watchdog.now("waiting for data", step)
                with clock.waiting():
                    host_batch = next(batches)
                self.watchdog.now("training", step)
                batch = global_batch(host_batch, self.mesh)
                with jax.transfer_guard("disallow"):
                    state, metrics = self.train_step(state, batch, key)
                # Metrics are read one step late: the device computes while the host fetches.
                if pending is not None:
                    self._add(window, *pending)
                pending = step, metrics
                clock.count(batch["image"].shape[0])
                bar.update()

                last = step == plan.total_steps
                logs = last or step % plan.log_every == 0
                validates = last or step % plan.validate_every == 0
                ends = not last and self.preemption.reached(step)
                saves = ends or validates or step % plan.checkpoint_every == 0
                if not (logs or saves):
                    continue
                # Before anything is written, this step's metrics too must be finite.
                self._add(window, *pending)
                pending = None
                if logs:
                    self._log_training(step, window.pop(), clock, bar)
                if validates:
                    with clock.paused(), self.watchdog.during("validating", step):
                        validated = self.validate(state)
                    self._write(step, "val", validated)
                if saves:
                    with clock.paused(), self.watchdog.during("saving", step):
                        self.checkpoints.save(
                            step,
                            state,
                            metadata={**self.metadata, "window": window.state()},
                            metrics=validated if validates else None,
                        )
                if ends:
                    self.checkpoints.wait()
                    raise Preempted(f"asked to end: everything up to step {step} is saved")
        self.watchdog.now("saving", plan.total_steps)
        self.checkpoints.wait()
        return state

    def _add(self, window: Mean, step: int, metrics: dict[str, jax.Array]) -> None:
        try:
            window.add(step, {name: float(v) for name, v in jax.device_get(metrics).items()})
        except NonFiniteError as error:
            steps = self.checkpoints.steps
            last = f"the last good checkpoint is step {steps[-1]}" if steps else "no checkpoint yet"
            raise NonFiniteError(
                f"{error}; training stopped, {last}. Lower config.optimizer.learning_rate or set "
                "config.optimizer.clip_norm, and rerun to continue"
            ) from error

    def _log_training(
        self, step: int, means: dict[str, float], clock: "_Clock", bar: Progress
    ) -> None:
        rate = float(self.plan.learning_rate(step - 1))
        loss = means.get("loss")  # None where all steps were skipped; first in the file
        logged: Metrics = {"loss": loss, "learning_rate": rate, **means}
        times = clock.read()
        said = "no finite loss" if loss is None else f"loss {loss:.4f}"
        bar.note(f"{said}, {times['images_per_second']:.1f} images/s")
        self._write(step, "train", logged, times)

    def _write(
        self, step: int, split: str, metrics: Metrics | dict[str, float], times: Any = None
    ) -> None:
        if self.log is not None:
            self.log.write(step, step / self.plan.steps_per_epoch, split, metrics, times=times)


class _Clock:
    """Images a second, and the share of time spent waiting for data, since the last reading."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self._start, self._images, self._steps, self._waited = time.monotonic(), 0, 0, 0.0

    def count(self, images: int) -> None:
        self._images += images
        self._steps += 1

    @contextlib.contextmanager
    def waiting(self) -> Iterator[None]:
        """Time in here is waiting for data."""
        start = time.monotonic()
        yield
        self._waited += time.monotonic() - start

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Time in here does not count."""
        start = time.monotonic()
        yield
        self._start += time.monotonic() - start

    def read(self) -> dict[str, float]:
        seconds = max(time.monotonic() - self._start, 1e-9)
        read = {
            "images_per_second": self._images / seconds,
            "data_wait_fraction": self._waited / seconds,
            "step_seconds": seconds / max(self._steps, 1),
            **_memory(),
        }
        self.reset()
        return read


def _memory() -> dict[str, float]:
    """The most that the first local device ever held, where it tells."""
    stats = jax.local_devices()[0].memory_stats() or {}
    peak = stats.get("peak_bytes_in_use")
    return {} if peak is None else {"device_memory_gb": peak / 1e9}
