"""Joining the processes of a job: the same command on a laptop, on eight GPUs and on a pod."""

import dataclasses
import os
from collections.abc import Mapping

import jax

HEARTBEAT_SECONDS = 100
"""A process that is silent for so long is dead to the others, which then end with an error."""

_ADDRESS, _COUNT, _INDEX = "JAX_COORDINATOR_ADDRESS", "JAX_NUM_PROCESSES", "JAX_PROCESS_ID"
_K8S_INDEX = "JOB_COMPLETION_INDEX"  # of a Kubernetes Job with completionMode: Indexed


class DistributedError(ValueError):
    """The processes of a job cannot find each other."""


@dataclasses.dataclass(frozen=True)
class Job:
    """Who takes part; all None: JAX finds out from its cluster's environment.

    Attributes:
      coordinator: host:port of process 0.
      num_processes: of the whole job.
      process_id: of this one, from 0.
    """

    coordinator: str | None = None
    num_processes: int | None = None
    process_id: int | None = None


def find_job(
    coordinator: str | None = None,
    num_processes: int | None = None,
    process_id: int | None = None,
    *,
    environment: Mapping[str, str] = os.environ,
) -> Job | None:
    """What this process is part of; None for a job of one process.

    Arguments first, then ``JAX_COORDINATOR_ADDRESS``, ``JAX_NUM_PROCESSES`` and
    ``JAX_PROCESS_ID`` (or Kubernetes' ``JOB_COMPLETION_INDEX``), then what SLURM, Open MPI and
    Cloud TPU set.

    Raises:
      DistributedError: they are incomplete or contradict each other.
    """
    address = coordinator or environment.get(_ADDRESS)
    count = num_processes if num_processes is not None else _number(environment, _COUNT)
    index = process_id
    for name in (_INDEX, _K8S_INDEX):
        index = _number(environment, name) if index is None and (address or count) else index
    if count is not None and count < 1:
        raise DistributedError(f"a job has at least one process; got {count}")
    if count == 1:
        return None
    if address or count is not None:
        wanted = {"coordinator": address, "num_processes": count, "process_id": index}
        missing = [name for name, value in wanted.items() if value is None]
        if missing:
            raise DistributedError(
                f"a job of several processes needs {', '.join(missing)} too: give --coordinator, "
                f"--num_processes and --process_id, or set {_ADDRESS}, {_COUNT} and {_INDEX}"
            )
        assert index is not None and count is not None
        if not 0 <= index < count:
            raise DistributedError(f"process_id is 0 to {count - 1}; got {index}")
        return Job(address, count, index)
    return Job() if _in_cluster(environment) else None


def _in_cluster(environment: Mapping[str, str]) -> bool:
    """Whether a launcher that JAX knows started several processes."""
    for name in ("SLURM_STEP_NUM_TASKS", "OMPI_COMM_WORLD_SIZE"):
        if (_number(environment, name) or 1) > 1:
            return True
    hosts = environment.get("TPU_WORKER_HOSTNAMES", "").split(",")
    return len([host for host in hosts if host]) > 1 or "MEGASCALE_NUM_SLICES" in environment


def _number(environment: Mapping[str, str], name: str) -> int | None:
    text = environment.get(name, "")
    if not text:
        return None
    try:
        return int(text)
    except ValueError as error:
        raise DistributedError(f"{name} is {text!r}, wanted a whole number") from error


def join(job: Job | None, *, heartbeat_seconds: int = HEARTBEAT_SECONDS) -> None:
    """Connects to the others; before anything else touches JAX's devices.

    Args:
      job: of `find_job`; None does nothing.
      heartbeat_seconds: after which a silent process is dead to the others. More on machines
        that run far more than they have cores for.

    Raises:
      DistributedError: the coordinator cannot be reached.
    """
    if job is None:
        return
    try:
        jax.distributed.initialize(
            coordinator_address=job.coordinator,
            num_processes=job.num_processes,
            process_id=job.process_id,
            heartbeat_timeout_seconds=heartbeat_seconds,
        )
    except Exception as error:  # gRPC's, as RuntimeError and others
        first = str(error).strip().splitlines()[:1]
        raise DistributedError(
            f"process {job.process_id} of {job.num_processes} cannot join the coordinator "
            f"{job.coordinator or '(of the cluster)'}: {' '.join(first)}"
        ) from error
