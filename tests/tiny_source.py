"""The smallest data set: what tests and the jobs that they start train on."""

from __future__ import annotations

from typing import Any

import numpy as np

from data_pipeline.training.sources import ArraySource


def tiny_source(split: Any) -> Any:
    """Noise, with a grey patch on the fakes; one video has four frames."""
    count = {"train": 24, "val": 20, "test": 12}[split]
    rng = np.random.default_rng(count)
    images = rng.integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)
    label = (np.arange(count) // 4 % 2).astype(np.int32)
    images[label == 1, 8:24, 8:24] = 128
    video = np.array([f"{i // 4:03d}" for i in range(count)])
    return ArraySource(
        images,
        {
            "dataset": np.full(count, "tiny"),
            "subset": np.where(label == 1, "patch", "real"),
            "compression": np.full(count, "none"),
            "split": np.full(count, split),
            "video_id": video,
            "source_id": video,
            "frame": (np.arange(count) % 4).astype(np.int32),
            "face": np.zeros(count, np.int32),
            "label": label,
            "timestamp": np.arange(count, dtype=np.float32),
        },
    )
