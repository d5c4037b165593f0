"""ONNX Runtime, as everything here imports it: silent."""

from __future__ import annotations

import os
from types import ModuleType


def onnx_runtime() -> ModuleType:
    """The package with its telemetry off, which its wheels have on.

    A value of the environment's own for ``ORT_DISABLE_TELEMETRY`` stands.

    Raises:
      ModuleNotFoundError: it is not installed.
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # is read once, when it starts
    import onnxruntime

    return onnxruntime
