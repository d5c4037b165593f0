"""Small record builds for tests, made by the project's own packing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from videos import jpeg

from data_pipeline.extract.extraction import Extraction
from data_pipeline.pack import pack
from data_pipeline.training.sources import Source


def write_extraction(
    folder: Path,
    video_id: str,
    *,
    label: int,
    split: str,
    frames: int = 3,
    size: int = 48,
    source_id: str | None = None,
) -> Path:
    """One extracted video of coloured noise, its own source unless told."""
    draw = np.random.default_rng(len(video_id) + label + 7 * frames)
    images = [draw.integers(0, 255, (size, size, 3), dtype=np.uint8) for _ in range(frames)]
    extraction = Extraction(
        meta={
            "dataset": "test",
            "subset": "fake" if label else "real",
            "compression": "c23",
            "split": split,
            "video_id": video_id,
            "source_id": source_id or video_id,
            "label": label,
            "crop_version": "a1",
        },
        crops=[jpeg(image) for image in images],
        frame=np.arange(frames, dtype=np.int32) * 10,
        timestamp=np.arange(frames, dtype=np.float32) / 2,
        box=np.zeros((frames, 4), np.float32),
        landmarks=np.zeros((frames, 5, 2), np.float32),
        score=np.ones(frames, np.float32),
        face=np.zeros(frames, np.int32),
        size=np.array([64, 64], np.int32),
        problem="",
    )
    path = folder / f"{split}-{video_id}-{label}.npz"
    extraction.save(path)
    return path


def read_images(source: Source, rows: np.ndarray | None = None) -> list[np.ndarray]:
    """Of all examples of a source, or of some."""
    chosen = np.arange(len(source)) if rows is None else rows
    return [example.image for example in source.read(chosen)]


def write_records(
    out: Path,
    *,
    videos: int = 4,
    frames: int = 3,
    size: int = 48,
    file_format: str = "array_record",
    paired: bool = False,
) -> Path:
    """A build with a train, a val and a test split of `videos` each, half of them fake.

    Args:
      out: folder of the build.
      videos, frames: of a split, and of a video.
      size: of the crops.
      file_format: of the records.
      paired: a real video and the fake after it are of one source.
    """
    files = [
        write_extraction(
            out / "videos",
            f"v{i}",
            label=i % 2,
            split=split,
            frames=frames,
            size=size,
            source_id=f"s{i // 2}" if paired else None,
        )
        for split in ("train", "val", "test")
        for i in range(videos)
    ]
    build = pack(files, out, name="test_c23", crop_size=size, file_format=file_format)
    assert build is not None
    return build
