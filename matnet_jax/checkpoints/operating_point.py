"""The operating point that an evaluation leaves in a workdir, for prediction and exports."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

from data_pipeline.files import write_json
from matnet_jax.metrics.operating_point import OperatingPoint

OPERATING_POINT_FILE = "operating-point.json"


def write_operating_point(workdir: str | Path, point: OperatingPoint, *, step: int) -> None:
    """Keeps the point that was fitted to the scores of the checkpoint `step`.

    Raises:
      OSError: the file can't be written.
    """
    write_json(Path(workdir) / OPERATING_POINT_FILE, {"step": step, **point.as_json()})


def read_operating_point(workdir: str | Path, *, step: int) -> OperatingPoint | None:
    """The point of the checkpoint `step`; None where there is none.

    One of another step is not used, since its scores are others: a warning says so.

    Raises:
      ValueError: the file is damaged.
    """
    path = Path(workdir) / OPERATING_POINT_FILE
    if not path.is_file():
        return None
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        point, fitted = OperatingPoint.from_json(values), values["step"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{path} is damaged ({error}): evaluate again with config.eval.fit_on_validation, or "
            "delete it"
        ) from error
    if fitted != step:
        warnings.warn(
            f"{path} was fitted to step {fitted}, not to step {step}, and is not used: evaluate "
            f"that checkpoint with config.eval.fit_on_validation",
            stacklevel=2,
        )
        return None
    return point
