"""The loop with a network of one number: what is logged, validated, saved, and what stops it."""

from __future__ import annotations

import csv
import itertools
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from matnet_jax.checkpoints.orbax import Checkpoints
from matnet_jax.checkpoints.state import TrainState
from matnet_jax.metrics.history import read_table
from matnet_jax.runtime.preemption import Preempted, Preemption
from matnet_jax.runtime.sharding import batch_sharded, data_mesh, replicate, replicated
from matnet_jax.runtime.workdir import WorkdirError, locked
from matnet_jax.train.loop import Loop
from matnet_jax.train.metrics_log import Mean, MetricsLog, NonFiniteError
from matnet_jax.train.plan import Plan
from matnet_jax.train.profiling import Profiler
from matnet_jax.train.watchdog import Watchdog


def train_step(state: Any, batch: Any, key: Any) -> Any:
    noise = jax.random.normal(jax.random.fold_in(key, state.step))
    value = state.params + batch["image"].mean() + 0.01 * noise
    return TrainState(state.step + 1, value, (), {}), {"loss": value, "grad_norm": jnp.abs(noise)}


def skipping(state: Any, batch: Any, key: Any) -> Any:
    new, metrics = train_step(state, batch, key)
    finite = jnp.isfinite(new.params)
    metrics = {name: jnp.where(finite, value, 0) for name, value in metrics.items()}
    new = TrainState(new.step, jnp.where(finite, new.params, state.params), (), {})
    return new, metrics | {"skipped": 1.0 - finite}


def batches(start: Any, *, poison: Any = None) -> Iterator[Any]:
    for step in itertools.count(start):
        value = np.nan if step + 1 == poison else 0.1 * step
        yield {"image": np.full((2 * jax.device_count(), 3), value, np.float32)}


@pytest.fixture
def run(tmp_path: Path) -> Any:
    """Call with (total_steps, …): starts or continues a run in tmp_path and returns what it did."""
    mesh = data_mesh()
    traces = []

    def step(state: Any, batch: Any, key: Any) -> Any:
        traces.append(1)
        return train_step(state, batch, key)

    jitted = jax.jit(
        step,
        donate_argnums=0,
        in_shardings=(replicated(mesh), batch_sharded(mesh), replicated(mesh)),
        out_shardings=replicated(mesh),
    )

    def run(
        total_steps: Any,
        *,
        poison: Any = None,
        stop_after: Any = None,
        log_every: int = 3,
        checkpoint_every: int = 4,
        preemption: Any = None,
        skip: bool = False,
    ) -> Any:
        plan = Plan(
            steps_per_epoch=5,
            total_steps=total_steps,
            log_every=log_every,
            validate_every=8,
            checkpoint_every=checkpoint_every,
            learning_rate=lambda step: 0.5 * step,
            batch_size=2,
        )
        state = replicate(TrainState(jnp.int32(0), jnp.float32(0), (), {}), mesh)
        validated = []

        def validate(state: Any) -> Any:
            validated.append(int(state.step))
            return {"loss": float(state.params), "video_auc": 1 / int(state.step)}

        with Checkpoints(tmp_path / "checkpoints") as checkpoints:
            abstract = jax.tree.map(
                lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), state
            )
            window = Mean()
            restored = checkpoints.restore_latest(abstract)
            if restored is not None:
                state, metadata = restored
                window = Mean(**metadata["window"])
            first = int(state.step)
            source = batches(first, poison=poison)
            if stop_after is not None:
                source = itertools.islice(source, stop_after - first)
            log = MetricsLog(tmp_path, step=first)
            watchdog = Watchdog(tmp_path, 0, seconds=60)
            asked = preemption or Preemption()
            stepped = jax.jit(skipping) if skip else jitted
            parts = (plan, stepped, validate, checkpoints, {}, log, mesh, asked, watchdog)
            loop = Loop(*parts, Profiler(0, 0, tmp_path))
            try:
                state = loop.run(state, source, replicate(jax.random.key(0), mesh), window)
            finally:
                log.close()
            return SimpleNamespace(
                state=state,
                first=first,
                validated=validated,
                best=checkpoints.best_step,
                steps=checkpoints.steps,
                traces=len(traces),
            )

    run.traces = traces
    return run


def set_aside(folder: Path) -> bytes:
    """Lets the next run start anew; what the metrics were."""
    for leftover in ("checkpoints", "metrics.csv"):
        (folder / leftover).rename(folder / f"old_{leftover}")
    return (folder / "old_metrics.csv").read_bytes()


def continues_as_if_whole(run: Any, folder: Path, *, first: int) -> None:
    """What continues at a step comes to what an uninterrupted run does, to the byte."""
    continued = run(18)
    assert continued.first == first
    written = set_aside(folder)
    whole = run(18)
    assert whole.first == 0
    assert (folder / "metrics.csv").read_bytes() == written
    np.testing.assert_array_equal(continued.state.params, whole.state.params)


class AskedAt:
    def __init__(self, step: Any) -> None:
        self._step = step

    def reached(self, step: Any) -> Any:
        return step == self._step


def test_a_run_that_is_asked_to_end_saves_and_goes_on_as_if_it_had_not(
    run: Any, tmp_path: Path
) -> None:
    with pytest.raises(Preempted, match="step 5 is saved"):
        run(18, preemption=AskedAt(5))
    continues_as_if_whole(run, tmp_path, first=5)


def test_periods(run: Any, tmp_path: Path) -> None:
    done = run(18)
    assert done.validated == [8, 16, 18]
    assert done.steps == [8, 16, 18] and done.best == 8
    assert done.traces == 1
    rows = list(csv.DictReader(open(tmp_path / "metrics.csv")))
    train = [int(row["step"]) for row in rows if row["split"] == "train"]
    assert train == [3, 6, 9, 12, 15, 18]
    assert [int(row["step"]) for row in rows if row["split"] == "val"] == [8, 16, 18]
    assert float(rows[0]["epoch"]) == 0.6
    assert float(rows[0]["learning_rate"]) == 0.5 * 2  # the rate of the step just done
    assert not any("second" in name or "wait" in name for name in rows[0])  # no times
    assert list((tmp_path / "tb").glob("events*"))


def test_an_interrupted_run_continues_to_the_same_bytes(run: Any, tmp_path: Path) -> None:
    with pytest.raises(StopIteration):  # the data ends: as good as a kill between two steps
        run(18, stop_after=14)
    continues_as_if_whole(run, tmp_path, first=12)


def test_means_are_over_the_steps_since_the_last_log(run: Any, tmp_path: Path) -> None:
    run(6, log_every=3)
    loose = read_table(tmp_path / "metrics.csv").rows
    set_aside(tmp_path)
    run(6, log_every=1)
    each = [
        float(row["loss"])
        for row in read_table(tmp_path / "metrics.csv").rows
        if row["split"] == "train"
    ]
    means = [float(row["loss"]) for row in loose if row["split"] == "train"]
    assert means == [sum(each[:3]) / 3, sum(each[3:]) / 3]


def test_nan_stops_with_the_step_and_keeps_the_last_good_checkpoint(run: Any) -> None:
    with pytest.raises(NonFiniteError, match=r"loss = nan at step 11; .* checkpoint is step 8"):
        run(18, poison=11)
    done = run(18)
    assert done.first == 8 and np.isfinite(done.state.params)


def test_nan_at_a_checkpoint_step_is_not_saved(run: Any) -> None:
    with pytest.raises(NonFiniteError, match=r"at step 4; .* no checkpoint yet"):
        run(18, poison=4)
    assert run(4).first == 0


def test_a_finished_run_does_nothing_and_a_longer_one_goes_on(run: Any) -> None:
    run(8)
    assert run(8).validated == []
    longer = run(10)
    assert longer.first == 8 and longer.validated == [10]


def test_log_is_cut_back_and_a_torn_line_dropped(tmp_path: Path) -> None:
    log = MetricsLog(tmp_path)
    for step in (1, 2, 3):
        log.write(step, step / 10, "train", {"loss": 0.1 * step, "undefined": None})
    log.write(3, 0.3, "val", {"auc": 0.75})
    log.close()
    with open(tmp_path / "metrics.csv", "a") as file:
        file.write("4,0.4,train,0.")
    MetricsLog(tmp_path, step=2).close()
    text = (tmp_path / "metrics.csv").read_text()
    # Columns stay, so that what is logged again comes out in the order of a run never cut.
    assert text == ("step,epoch,split,loss,undefined,auc\n1,0.1,train,0.1,,\n2,0.2,train,0.2,,\n")


def test_a_new_metric_adds_a_column(tmp_path: Path) -> None:
    log = MetricsLog(tmp_path)
    log.write(1, 0.1, "train", {"loss": 1.0})
    log.write(1, 0.1, "val", {"auc": 0.5})
    log.write(2, 0.2, "train", {"loss": 2.0})
    log.close()
    text = (tmp_path / "metrics.csv").read_text()
    assert text == (
        "step,epoch,split,loss,auc\n1,0.1,train,1.0,\n1,0.1,val,,0.5\n2,0.2,train,2.0,\n"
    )
    assert read_table(tmp_path / "metrics.csv").rows[1] == {
        "step": "1",
        "epoch": "0.1",
        "split": "val",
        "auc": "0.5",
    }


def test_a_workdir_has_one_run_at_a_time(tmp_path: Path) -> None:
    with locked(tmp_path / "run"):
        with pytest.raises(WorkdirError, match=r"in use: process \d+ on .* trains there"):
            with locked(tmp_path / "run"):
                pass
    with locked(tmp_path / "run"):
        pass  # free again


def test_a_workdir_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(WorkdirError, match=r"cannot write to the workdir .*another --workdir"):
        with locked(tmp_path / "file" / "run"):
            pass


def test_a_last_step_that_is_skipped_ends_the_run_all_the_same(run: Any, tmp_path: Path) -> None:
    done = run(5, poison=5, skip=True, log_every=2)
    assert int(done.state.step) == 5 and done.steps[-1] == 5 and done.validated == [5]
    rows = [row for row in read_table(tmp_path / "metrics.csv").rows if row["split"] == "train"]
    assert [row["step"] for row in rows] == ["2", "4", "5"]
    assert "loss" not in rows[-1] and float(rows[-1]["skipped_steps"]) == 1
    assert [float(row["learning_rate"]) for row in rows] == [0.5, 1.5, 2.0]
