"""Several processes of one job on this machine, restarted from the last checkpoint.

    python -m matnet_jax.runtime.launch --processes=2 --restarts=3 -- run_train.py --config=… …

Clusters start processes themselves (see docs/pods.md); this is for one machine, and for trying.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence

from absl import flags

from data_pipeline.commands import Command
from matnet_jax.runtime.preemption import STATUS

_GRACE_SECONDS = 30.0


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def start(command: Sequence[str], count: int) -> list[subprocess.Popen]:
    """Starts a Python command `count` times as the processes of one job."""
    address = f"127.0.0.1:{free_port()}"
    return [
        subprocess.Popen(
            [sys.executable, *command],
            env={
                **os.environ,
                "JAX_COORDINATOR_ADDRESS": address,
                "JAX_NUM_PROCESSES": str(count),
                "JAX_PROCESS_ID": str(i),
            },
        )
        for i in range(count)
    ]


def wait(processes: Sequence[subprocess.Popen], *, grace: float = _GRACE_SECONDS) -> int:
    """Waits for the job: 0 if all ended well, else the status of the first that did not.

    The others get `grace` seconds to end by themselves and are killed then: a job that lost a
    process cannot go on.
    """
    first: tuple[int, int] | None = None
    try:
        while any(process.poll() is None for process in processes):
            ended = [(i, p.returncode) for i, p in enumerate(processes) if p.poll()]
            if ended:
                first = ended[0]
                break
            time.sleep(0.1)
        ended = [(i, p.returncode) for i, p in enumerate(processes) if p.poll()]
        first = first or next(iter(ended), None)
        if first is None:
            return 0
        index, status = first
        how = f"was killed by signal {-status}" if status < 0 else f"ended with status {status}"
        print(f"launch: process {index} {how}", file=sys.stderr, flush=True)
        deadline = time.monotonic() + grace
        for process in processes:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(max(deadline - time.monotonic(), 0.01))
        return status
    finally:
        for process in processes:
            if process.poll() is None:
                process.kill()
                process.wait()


def launch(command: Sequence[str], *, processes: int, restarts: int) -> int:
    """Runs a job, and again after a process died; returns the exit status.

    SIGTERM is handed to the processes, which save and end: then it is not run again, and the
    status is `preemption.STATUS`.
    """
    running: list[subprocess.Popen] = []
    asked = False

    def hand_on(number: int, frame: object) -> None:
        del frame
        nonlocal asked
        asked = True
        for process in running:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(number)

    before = signal.signal(signal.SIGTERM, hand_on)
    try:
        for left in range(restarts, -1, -1):
            running[:] = start(command, processes)
            if asked:  # while they started
                hand_on(signal.SIGTERM, None)
            status = wait(running)
            if status == 0 or asked or not left:
                return status if status >= 0 else 128 - status
            print(f"launch: restarting, {left - 1} restarts left", file=sys.stderr, flush=True)
    finally:
        signal.signal(signal.SIGTERM, before)
    raise AssertionError("unreachable")


def _define(values: flags.FlagValues) -> None:
    flags.DEFINE_integer(
        "processes", None, "Of the job.", lower_bound=1, required=True, flag_values=values
    )
    flags.DEFINE_integer("restarts", 0, "After a process died.", lower_bound=0, flag_values=values)


def _run(values: flags.FlagValues, command: list[str]) -> int:
    return launch(command, processes=values.processes, restarts=values.restarts)


COMMAND = Command(
    program="python -m matnet_jax.runtime.launch",
    about=f"{__doc__}\nStatus {STATUS}: it was asked to end, and saved.\n",
    define=_define,
    run=_run,
    arguments="COMMAND …",
    usage_status=2,
)

if __name__ == "__main__":
    sys.exit(COMMAND())
