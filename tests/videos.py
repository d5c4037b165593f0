"""Small real videos for tests, written with PyAV and x264."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np


def moving_square(number: int, size: tuple[int, int] = (96, 128)) -> np.ndarray:
    """A frame whose brightness tells its number: uint8 RGB [H, W, 3]."""
    image = np.full((*size, 3), 16, np.uint8)
    image[8:40, 8:40] = 3 * number + 30
    image[50:80, 60:110] = (200, 40, 40)
    return image


def write_video(
    path: Path,
    frames: list[np.ndarray],
    *,
    rate: int = 25,
    key_every: int = 250,
    crf: int = 18,
    preset: str = "ultrafast",
) -> Path:
    """H.264 in the container that the file's ending names."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=rate)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        stream.options = {"crf": str(crf), "g": str(key_every), "preset": preset}
        for image in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())
    return path


def write_clip(path: Path, count: int = 40, **options: Any) -> Path:
    """A video of `count` frames of `moving_square`."""
    return write_video(path, [moving_square(i) for i in range(count)], **options)


def jpeg(image: np.ndarray) -> bytes:
    """uint8 RGB to JPEG bytes."""
    return cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()
