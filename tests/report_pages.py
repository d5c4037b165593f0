"""Scores, overlays and pages for tests of reports."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np

from matnet_jax.metrics import summarise
from matnet_jax.report.overlays import Overlay
from matnet_jax.report.render import write_report

SCRIPT = "<script>alert(1)</script>&$x$.mp4"


def scores(
    num_videos: int = 12,
    num_frames: int = 5,
    labels: Any = (0, 1),
    subsets: Any = ("youtube", "Deepfakes"),
) -> Any:
    rng = np.random.default_rng(0)
    rows = []
    for video in range(num_videos):
        for subset, label in zip(subsets, labels, strict=True):
            center = rng.normal(2.0 * label - 1.0, 0.8)
            for frame in range(num_frames):
                value = 1 / (1 + np.exp(-rng.normal(center, 0.5)))
                rows.append(("ffpp", subset, "c23", "test", f"{video:03d}", frame, 0, label, value))
    names = (
        "dataset",
        "subset",
        "compression",
        "split",
        "video_id",
        "frame",
        "face",
        "label",
        "score",
    )
    return {name: np.array([row[i] for row in rows]) for i, name in enumerate(names)}


def overlay(label: int = 0, title: str = "", seed: int = 0, num_maps: int = 4) -> Any:
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (64, 48, 3), np.uint8)
    attention = np.zeros((6, 6, num_maps), np.float32)
    for k in range(num_maps):
        attention[k, k, k] = 2.0 / (k + 1)
    return Overlay(image, attention, label, 0.25 + 0.5 * label, title)


HISTORY = {
    "step": np.array([10.0, 20.0, 20.0, 30.0]),
    "epoch": np.array([0.5, 1.0, 1.0, 1.5]),
    "split": np.array(["train", "train", "val", "train"]),
    "loss": np.array([0.9, 0.7, 0.8, 0.5]),
    "video_auc": np.array([np.nan, np.nan, 0.9, np.nan]),
}


class Page(HTMLParser):
    """Tags, attributes and text of a page; unbalanced tags are errors."""

    VOID = {"meta", "link", "img", "br"}

    def __init__(self, html: Any) -> None:
        super().__init__()
        self.tags, self.attributes, self.texts, self._open = [], [], [], []
        self.feed(html)
        assert self._open == []

    def handle_starttag(self, tag: Any, attributes: Any) -> None:
        self.tags.append(tag)
        self.attributes += attributes
        if tag not in self.VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: Any, attributes: Any) -> None:
        self.tags.append(tag)
        self.attributes += attributes

    def handle_endtag(self, tag: Any) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: Any) -> None:
        if "style" not in self._open:
            self.texts.append(data)

    @property
    def text(self) -> Any:
        return re.sub(r"\s+", " ", " ".join(self.texts))


def page(
    tmp_path: Path, table: Any, *, title: str = "Report", metrics: Any = None, **parts: Any
) -> Any:
    path = tmp_path / "out" / "report.html"
    write_report(path, title=title, metrics=metrics or summarise(table), scores=table, **parts)
    return Page(path.read_text(encoding="utf-8"))
