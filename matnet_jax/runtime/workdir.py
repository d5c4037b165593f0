"""What a run leaves in its workdir beside checkpoints and metrics, and who may write there."""

import contextlib
import fcntl
import importlib.metadata
import os
import platform
from collections.abc import Iterator
from pathlib import Path

import jax

_PACKAGES = ("matnet-jax", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy")


class WorkdirError(ValueError):
    """The workdir cannot be used."""


@contextlib.contextmanager
def locked(workdir: Path) -> Iterator[None]:
    """Makes `workdir` and holds it against a second training run on this file system.

    The lock ends with the process, however it ends; nothing has to be cleaned up after a kill.

    Raises:
      WorkdirError: if another process trains there, or nothing can be written there.
    """
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        lock = open(workdir / ".lock", "a+")  # noqa: SIM115 (held open as long as the lock)
    except OSError as error:
        raise WorkdirError(
            f"cannot write to the workdir {workdir} ({error.strerror}); give another --workdir"
        ) from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            lock.seek(0)
            owner = lock.read().strip() or "another process"
            raise WorkdirError(
                f"{workdir} is in use: {owner} trains there; wait for it, stop it, or give another "
                "--workdir"
            ) from error
        lock.truncate(0)
        lock.write(f"process {os.getpid()} on {platform.node()}")
        lock.flush()
        yield


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that results depend on, and the kind of devices."""
    found = {"python": platform.python_version(), "platform": jax.devices()[0].device_kind}
    for package in _PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[package] = importlib.metadata.version(package)
    return found
