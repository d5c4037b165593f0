"""What a run leaves in its workdir beside checkpoints and metrics, and who may write there."""

import contextlib
import importlib.metadata
import platform
from collections.abc import Iterator
from pathlib import Path

import jax

from data_pipeline.files import InUseError
from data_pipeline.files import locked as locked_folder

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
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(locked_folder(workdir))
        except InUseError as error:
            raise WorkdirError(
                f"{workdir} is in use: {error.owner} trains there; wait for it, stop it, or give "
                "another --workdir"
            ) from error
        except OSError as error:
            raise WorkdirError(
                f"cannot write to the workdir {workdir} ({error.strerror}); give another --workdir"
            ) from error
        yield


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that results depend on, and the kind of devices."""
    found = {"python": platform.python_version(), "platform": jax.devices()[0].device_kind}
    for package in _PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[package] = importlib.metadata.version(package)
    return found
