"""A detector of one face, and workers that are none, for tests of `prepare`."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from data_pipeline.datasets import Video
from data_pipeline.detectors import Face
from data_pipeline.extract.crop import template
from data_pipeline.extract.crops import Settings, extract_video, extraction_path

SETTINGS = Settings(num_frames=4, crop_size=64)


class OneFace:
    """Finds the same face wherever there is a picture brighter than `above`."""

    def __init__(self, above: float = 0.0) -> None:
        self._above = above

    def detect(self, image: Any) -> Any:
        if image[16:32, 16:32].mean() <= self._above:
            return []
        box = np.array([20, 10, 70, 80], np.float32)
        return [Face(box, (template(64) + 20).astype(np.float32), 0.9)]


def video(path: Any, label: int = 0, **changes: Any) -> Video:
    fields = {
        "dataset": "test",
        "subset": "real",
        "compression": "c23",
        "split": "train",
        "video_id": path.stem,
        "source_id": path.stem,
        "label": label,
        "path": path,
    }
    return Video(**(fields | changes))


@pytest.fixture
def fake_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs the work of the processes here, with a detector that needs no weights."""

    def extract_here(videos: Any, settings: Any, out: Any, *, progress: Any, **_: Any) -> None:
        for v in videos:
            path = extraction_path(out, v, settings)
            if not path.exists():
                extract_video(v, settings, OneFace()).save(path)
                progress(1)

    monkeypatch.setattr("data_pipeline.extract.beam.extract", extract_here)
