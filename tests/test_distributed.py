"""Several processes, for real: the same run as in one, and what happens when one dies."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from workdirs import fake_devices

from matnet_jax.checkpoints.orbax import Checkpoints
from matnet_jax.metrics.history import read_table
from matnet_jax.metrics.scores import read_scores
from matnet_jax.runtime.distributed import DistributedError, Job, find_job
from matnet_jax.runtime.launch import launch, start, wait
from matnet_jax.runtime.preemption import STATUS

JOB = str(Path(__file__).parent / "job.py")
FIELDS = ('train.duration="4 steps"', 'train.log_every="1 step"', 'validation.every="4 steps"')


@pytest.fixture
def job(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Any]:
    """Call with (name, processes, devices): a job with the workdir tmp_path/name."""
    started = []

    def begin(
        name: Any, processes: Any, devices: Any, fields: Any = FIELDS, family: str = "classifier"
    ) -> Any:
        monkeypatch.setenv("JAX_PLATFORMS", "cpu")
        monkeypatch.setenv("XLA_FLAGS", fake_devices(devices))
        started.extend(found := start([JOB, family, str(tmp_path / name), *fields], processes))
        return found

    yield begin
    for process in started:
        if process.poll() is None:
            process.kill()
            process.wait()


def network(workdir: Any) -> Any:
    """Parameters, statistics and centers, whatever devices wrote them."""
    with Checkpoints(workdir / "checkpoints", read_only=True) as checkpoints:
        return checkpoints.read_model("latest")


def close(one: Any, other: Any, **tolerance: Any) -> None:
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, **tolerance), network(one), network(other)
    )


def test_two_processes_of_two_devices_are_one_of_four_and_one_of_one(
    job: Any, tmp_path: Path
) -> None:
    for name, processes, devices in (("2x2", 2, 2), ("1x4", 1, 4), ("1x1", 1, 1)):
        assert wait(job(name, processes, devices, (*FIELDS, "--evaluate"), family="mat")) == 0
    runs = {name: tmp_path / name for name in ("2x2", "1x4", "1x1")}
    for other in ("1x4", "1x1"):
        # Adam divides by the root of tiny squares: what differs in the last bits, differs there.
        close(runs["2x2"], runs[other], rtol=2e-2, atol=2e-3)
        rows = [read_table(runs[name] / "metrics.csv").rows for name in ("2x2", other)]
        assert len(rows[0]) == len(rows[1]) == 5
        for a, b in zip(*rows, strict=True):
            assert a.keys() == b.keys()
            for name in ("loss", "cross_entropy", "grad_norm", "video_auc"):
                if name in a:
                    assert float(a[name]) == pytest.approx(float(b[name]), rel=1e-2), name
        scores = [read_scores(runs[name] / "eval/test/scores.csv") for name in ("2x2", other)]
        assert len(scores[0]["score"]) == 12  # each face once, whoever scored it
        np.testing.assert_array_equal(scores[0]["frame"], scores[1]["frame"])
        assert np.ptp(scores[0]["score"]) > 1e-3
        np.testing.assert_allclose(scores[0]["score"], scores[1]["score"], atol=1e-4)
    assert not list((runs["2x2"] / ".processes").iterdir())


def test_a_job_goes_on_with_other_devices(job: Any, tmp_path: Path) -> None:
    half = (FIELDS[0].replace("4", "2"), *FIELDS[1:])
    assert wait(job("moved", 2, 1, half)) == 0
    assert wait(job("moved", 1, 1)) == 0
    steps = [
        row["step"]
        for row in read_table(tmp_path / "moved" / "metrics.csv").rows
        if row["split"] == "train"
    ]
    assert steps == ["1", "2", "3", "4"]


def wait_for_step(workdir: Any, step: Any, processes: Any) -> None:
    end = time.monotonic() + 600
    while time.monotonic() < end:
        rows = read_table(workdir / "metrics.csv").rows
        if rows and int(rows[-1]["step"]) >= step:
            return
        assert all(process.poll() is None for process in processes)
        time.sleep(0.05)
    raise AssertionError("no progress")


def test_the_others_end_when_one_is_killed(
    job: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    processes = job("killed", 2, 1, (FIELDS[0].replace("4", "4000"), *FIELDS[1:]))
    wait_for_step(tmp_path / "killed", 2, processes)
    processes[1].send_signal(signal.SIGKILL)
    assert wait(processes, grace=5) == -signal.SIGKILL
    assert all(process.poll() is not None for process in processes)
    assert "process 1 was killed by signal 9" in capfd.readouterr().err


def test_sigterm_to_one_process_saves_in_all(job: Any, tmp_path: Path) -> None:
    processes = job("asked", 2, 1, (FIELDS[0].replace("4", "4000"), *FIELDS[1:]))
    wait_for_step(tmp_path / "asked", 2, processes)
    processes[0].send_signal(signal.SIGTERM)
    assert [process.wait(120) for process in processes] == [STATUS, STATUS]
    saved = max(int(p.name) for p in (tmp_path / "asked/checkpoints").glob("[0-9]*"))
    logged = [
        row
        for row in read_table(tmp_path / "asked" / "metrics.csv").rows
        if row["split"] == "train"
    ]
    assert saved == int(logged[-1]["step"])


def test_the_launcher_restarts_a_job_that_lost_a_process(tmp_path: Path) -> None:
    """The script dies in its first life, in one of two processes."""
    script = tmp_path / "script.py"
    script.write_text(
        "import os, pathlib, sys, time\n"
        f"mark = pathlib.Path({str(tmp_path / 'mark')!r})\n"
        "index = os.environ['JAX_PROCESS_ID']\n"
        "assert os.environ['JAX_NUM_PROCESSES'] == '2' and sys.argv[1] == '--flag'\n"
        "if index == '1' and not mark.exists():\n"
        "    mark.touch()\n"
        "    os.kill(os.getpid(), 9)\n"
        "while not mark.exists():\n"
        "    time.sleep(0.05)\n"
    )
    command = [sys.executable, "-m", "matnet_jax.runtime.launch", "--processes=2"]
    rest = ["--", str(script), "--flag"]
    env = {**os.environ, "PYTHONPATH": str(Path(JOB).parents[1])}
    done = subprocess.run(
        [*command, "--restarts=1", *rest], env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "process 1 was killed by signal 9" in done.stderr and "0 restarts left" in done.stderr
    (tmp_path / "mark").unlink()
    done = subprocess.run([*command, *rest], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 128 + 9


def test_a_job_that_is_asked_to_end_while_it_starts_ends(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    code = (
        "import os, pathlib, signal, sys, time\n"
        "signal.signal(15, lambda *_: sys.exit(75))\n"
        "pathlib.Path(sys.argv[1], os.environ['JAX_PROCESS_ID']).touch()\n"
        "time.sleep(60)\n"
    )

    def slowly(command: Any, count: int) -> Any:
        started = start(command, count)
        while len(list(tmp_path.iterdir())) < count:  # until they can be asked
            assert all(process.poll() is None for process in started)
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGTERM)
        return started

    monkeypatch.setattr("matnet_jax.runtime.launch.start", slowly)
    assert launch(["-c", code, str(tmp_path)], processes=2, restarts=3) == STATUS


@pytest.mark.parametrize(
    ("environment", "job"),
    [
        ({}, None),
        ({"SLURM_STEP_NUM_TASKS": "1"}, None),
        ({"SLURM_STEP_NUM_TASKS": "4"}, Job()),
        ({"OMPI_COMM_WORLD_SIZE": "2"}, Job()),
        ({"TPU_WORKER_HOSTNAMES": "localhost"}, None),
        ({"TPU_WORKER_HOSTNAMES": "a,b"}, Job()),
        ({"JAX_NUM_PROCESSES": "1"}, None),
        (
            {"JAX_COORDINATOR_ADDRESS": "a:1", "JAX_NUM_PROCESSES": "3", "JAX_PROCESS_ID": "2"},
            Job("a:1", 3, 2),
        ),
        (
            {
                "JAX_COORDINATOR_ADDRESS": "a:1",
                "JAX_NUM_PROCESSES": "3",
                "JOB_COMPLETION_INDEX": "0",
            },
            Job("a:1", 3, 0),
        ),
    ],
)
def test_the_job_is_found_in_the_environment(environment: Any, job: Any) -> None:
    assert find_job(environment=environment) == job


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"JAX_COORDINATOR_ADDRESS": "a:1"}, "needs num_processes, process_id too"),
        ({"JAX_NUM_PROCESSES": "two"}, "JAX_NUM_PROCESSES is 'two', wanted a whole number"),
        (
            {"JAX_COORDINATOR_ADDRESS": "a:1", "JAX_NUM_PROCESSES": "2", "JAX_PROCESS_ID": "2"},
            "process_id is 0 to 1; got 2",
        ),
    ],
)
def test_an_incomplete_job_is_refused(environment: Any, message: Any) -> None:
    with pytest.raises(DistributedError, match=message):
        find_job(environment=environment)
