"""The line of JSON that every benchmark prints."""

from __future__ import annotations

import contextlib
import json
import platform
import resource
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from data_pipeline.cores import usable_cores

_PACKAGES = (
    *("jax", "jaxlib", "libtpu", "flax", "numpy", "opencv-python", "av", "tensorflow-cpu"),
    *("torch", "efficientnet-pytorch", "onnxruntime", "openvino"),
)


def emit(name: str, figure: float, unit: str, *, device: Any = None, **more: Any) -> None:
    """Prints one result.

    Args:
      name: of what was measured, the same in every run of the command.
      figure: the result.
      unit: of the figure.
      device: what computed; None for JAX's devices.
      **more: settings, parts of the figure, and `ratio` to a `reference` of the same run.
    """
    line = {
        "name": name,
        "figure": _rounded(figure),
        "unit": unit,
        **{key: _rounded(value) for key, value in more.items()},
        "device": device or jax_devices(),
        "versions": versions(),
    }
    print(json.dumps(line), flush=True)


def cores(count: int | None = None) -> str:
    """So many of this machine's cores, or all that this process may use."""
    return f"{count or usable_cores()} cores of {platform.machine()}"


def jax_devices() -> str:
    """The devices that JAX computes on."""
    import jax  # seconds: not for what needs none

    if jax.default_backend() == "cpu":
        return cores()
    return f"{jax.device_count()} × {jax.devices()[0].device_kind}"


def versions() -> dict[str, str]:
    """Of Python and of the packages that matter, where installed."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def peak_memory() -> float:
    """Of this process so far, or since `forget_peak_memory`, in GB."""
    try:
        status = Path("/proc/self/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) * 1024 / 1e9
    except (OSError, IndexError):  # not Linux
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


def forget_peak_memory() -> None:
    """Has `peak_memory` start again from what is in use now, on Linux."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def _rounded(value: Any) -> Any:
    return float(f"{value:.4g}") if isinstance(value, float) else value
