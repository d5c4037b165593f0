"""A detector's AUC on the same faces under disturbances of graded strength."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from data_pipeline.files import write_json
from data_pipeline.training.disturb import DISTURBANCES, disturbed
from data_pipeline.training.sources import Source
from matnet_jax.metrics import video_scores
from matnet_jax.metrics.binary import METRICS
from matnet_jax.metrics.scores import Columns

_LOOKED_AT = 64  # rows, spread over all

Curves = dict[str, list[dict[str, float | None]]]


def measure_robustness(
    score: Callable[[Source], Columns],
    source: Source,
    names: Sequence[str],
    *,
    aggregation: str = "mean",
    top_k: int = 10,
    kept: Path,
    identity: Mapping[str, Any],
) -> Curves:
    """Scores a source under each disturbance and strength.

    Args:
      score: a source -> its columns with ``score``; called in every process.
      source: undisturbed.
      names: of `DISTURBANCES`.
      aggregation, top_k: of a video's frames.
      kept: file of the points measured so far, from which an interrupted call continues.
      identity: of what is measured (checkpoint, data); points kept for another are not used, nor
        are those of other records in the same place.

    Returns:
      name -> points ``{"strength", "video_auc", "frame_auc"}``, mild ones first; an AUC is None
      where a class is missing.
    """
    identity = {**identity, "records": _digest(source)}
    points = _read(kept, identity)
    for name in names:
        for strength in DISTURBANCES[name].strengths:
            if any(point["strength"] == strength for point in points.get(name, ())):
                continue
            frames = score(disturbed(source, name, strength))
            videos = video_scores(frames, aggregation=aggregation, top_k=top_k)
            point = {
                "strength": strength,
                **{
                    f"{level}_auc": METRICS["auc"](columns["label"], columns["score"])
                    for level, columns in (("video", videos), ("frame", frames))
                },
            }
            points.setdefault(name, []).append(point)
            if jax.process_index() == 0:
                write_json(kept, {"of": identity, "points": points})
    order = {name: DISTURBANCES[name].strengths for name in names}
    return {
        name: sorted(points[name], key=lambda point: order[name].index(point["strength"]))
        for name in names
    }


def _digest(source: Source) -> str:
    """Of all columns, and of the pixels of some rows: another where records were prepared anew."""
    digest = hashlib.sha256()
    for name, column in sorted(source.columns.items()):
        digest.update(repr((name, column.tolist())).encode("utf-8", "surrogateescape"))
    rows = np.linspace(0, len(source) - 1, min(_LOOKED_AT, len(source))).astype(int)
    for example in source.read(rows):
        digest.update(example.image.tobytes())
    return digest.hexdigest()


def _read(kept: Path, identity: Mapping[str, Any]) -> Curves:
    try:
        found = json.loads(kept.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found["points"] if found.get("of") == dict(identity) else {}
