"""Reading frames of a video, or an image, as uint8 RGB."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import av
import cv2
import numpy as np

_IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".webp"}


class VideoError(ValueError):
    """A file that gives no frames; the message says why."""


@dataclasses.dataclass(frozen=True)
class Frame:
    """A decoded frame.

    Attributes:
      number: position in the order of display, from 0.
      timestamp: seconds from the start.
      image: uint8 RGB [H, W, 3], upright.
    """

    number: int
    timestamp: float
    image: np.ndarray


@dataclasses.dataclass(frozen=True)
class Frames:
    """What could be read of the frames asked for; `problem` says why some are missing, or is ""."""

    frames: tuple[Frame, ...]
    problem: str = ""


def evenly_spread(total: int, count: int) -> list[int]:
    """Frame numbers at the centres of `count` equal parts of a video of `total` frames.

    A video with fewer frames gives each of them once.
    """
    if total <= count:
        return list(range(total))
    return [int((i + 0.5) * total / count) for i in range(count)]


def read_frames(path: Path, count: int, *, threads: int = 1) -> Frames:
    """Frames spread evenly over a video; the one frame of an image file.

    The number of frames is counted from the packets, since headers lie. A stream that breaks gives
    the frames before the break.

    Args:
      path: a file that FFmpeg or OpenCV reads.
      count: frames wanted.
      threads: of the decoder.

    Raises:
      VideoError: not one frame can be read.
    """
    if not path.is_file():
        raise VideoError(f"no such file: {path}")
    if path.stat().st_size == 0:
        raise VideoError(f"{path} is empty (0 bytes)")
    if path.suffix.lower() in _IMAGE_SUFFIXES:
        return Frames((Frame(0, 0.0, _read_image(path)),))
    try:
        with av.open(str(path)) as container:
            times, keys = _scan(container, path)
        wanted = evenly_spread(len(times), count)
        with av.open(str(path)) as container:
            found, problem = _decode(container, times, keys, wanted, threads)
    except (av.FFmpegError, OSError) as error:
        raise VideoError(f"{path} is not a video that FFmpeg reads: {error}") from error
    if not found:
        raise VideoError(f"{path}: no frame decodes ({problem or 'the stream is empty'})")
    missing = len(wanted) - len(found)
    if missing and not problem:
        problem = "the stream ends early"
    note = f"{missing} of {len(wanted)} frames missing: {problem}" if missing else ""
    return Frames(tuple(found), note)


def _read_image(path: Path) -> np.ndarray:
    # From bytes: OpenCV's own reader fails on some file names. It applies the EXIF rotation.
    data = np.frombuffer(path.read_bytes(), np.uint8)
    image = cv2.imdecode(data, cv2.IMREAD_COLOR_RGB)
    if image is None:
        raise VideoError(f"{path} is not an image that OpenCV reads, or damaged")
    return image


def _video_stream(container: av.container.InputContainer, path: Path):
    if not container.streams.video:
        raise VideoError(f"{path} has no video stream")
    return container.streams.video[0]


def _scan(container, path: Path) -> tuple[list[int], list[int]]:
    """Times of all frames in display order, and of the key frames, in units of the time base."""
    stream = _video_stream(container, path)
    times, keys = [], []
    try:
        for packet in container.demux(stream):
            time = packet.pts if packet.pts is not None else packet.dts
            if packet.size and time is not None and not packet.is_discard:
                times.append(time)
                if packet.is_keyframe:
                    keys.append(time)
    except av.FFmpegError:
        pass  # cut off: what came before it counts
    return sorted(times), sorted(keys)


def _decode(container, times, keys, wanted: list[int], threads: int):
    """Decodes up to each wanted frame, jumping where a key frame lies on the way."""
    stream = container.streams.video[0]
    stream.thread_type = "AUTO"
    stream.codec_context.thread_count = threads
    found: list[Frame] = []
    position = times[0] if times else 0
    frames = container.decode(stream)
    problem = ""
    for number in wanted:
        target = times[number]
        key = max((k for k in keys if k <= target), default=position)
        if key > position:
            container.seek(key, stream=stream)
            frames = container.decode(stream)
        try:
            frame = next((f for f in frames if f.pts is None or f.pts >= target), None)
        except av.FFmpegError as error:
            problem = str(error)
            break
        if frame is None:
            break
        position = frame.pts if frame.pts is not None else target
        seconds = float((target - times[0]) * stream.time_base)
        found.append(Frame(number, seconds, _upright(frame)))
    return found, problem


def _upright(frame: av.VideoFrame) -> np.ndarray:
    """RGB by the stream's own colour matrix and range, turned as its metadata says."""
    image = frame.to_ndarray(format="rgb24")
    turns = round((frame.rotation or 0) / 90) % 4
    return np.ascontiguousarray(np.rot90(image, turns)) if turns else image
