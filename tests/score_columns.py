"""Columns of scores made for tests."""

from __future__ import annotations

from typing import Any

import numpy as np


def videos(*specs: Any, dataset: str = "ffpp", compression: str = "c23") -> Any:
    """Columns from (subset, video_id, label, frame scores) of each video."""
    rows = [
        (dataset, subset, compression, video_id, label, score)
        for subset, video_id, label, scores in specs
        for score in scores
    ]
    names = ("dataset", "subset", "compression", "video_id", "label", "score")
    table = {name: np.array([row[i] for row in rows]) for i, name in enumerate(names)}
    return {**table, "label": table["label"].astype(np.int32)}


def joined(*tables: Any) -> Any:
    return {name: np.concatenate([table[name] for table in tables]) for name in tables[0]}


def random_columns(seed: int = 0, num_videos: int = 40, num_frames: int = 6) -> Any:
    rng = np.random.default_rng(seed)
    specs = []
    for index in range(num_videos):
        label = index % 2
        scores = 1 / (1 + np.exp(-rng.normal(1.5 * label - 0.75, 1.0, num_frames)))
        specs.append(("Deepfakes" if label else "youtube", f"{index:03d}", label, scores))
    return videos(*specs)
