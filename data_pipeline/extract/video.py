"""Reading chosen frames of a video, or of what stands for one, as uint8 RGB."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import av
import numpy as np

from data_pipeline.datasets.files import IMAGE_SUFFIXES
from data_pipeline.extract.frames import (
    Broken,
    Choice,
    Frame,
    FrameStream,
    VideoError,
    choose_evenly,
)
from data_pipeline.extract.stills import (
    ARCHIVE_SUFFIXES,
    open_archive,
    open_folder,
    open_image,
)


@dataclasses.dataclass(frozen=True)
class Frames:
    """What could be read of the frames asked for; `problem` says why some are missing, or is ""."""

    frames: tuple[Frame, ...]
    problem: str = ""


def open_frames(path: Path, count: int, *, threads: int = 1) -> FrameStream:
    """Frames spread evenly over a video, a folder or tar archive of images; the one of an image.

    The number of a video's frames is counted from its packets, since headers lie. A stream that
    breaks gives the frames before the break.

    Args:
      path: a file that FFmpeg or OpenCV reads, or a folder of such images.
      count: frames wanted.
      threads: of the decoder.

    Raises:
      VideoError: it cannot be opened; or, when frames are asked for, not one can be read.
    """
    return _open(path, choose_evenly(count), threads)


def open_frames_at(path: Path, numbers: Sequence[int], *, threads: int = 1) -> FrameStream:
    """The frames of those numbers, as `open_frames` numbers them; those that are missing are told.

    Args:
      path, threads: see `open_frames`.
      numbers: in order.

    Raises:
      VideoError: see `open_frames`.
    """
    return _open(path, lambda _: list(numbers), threads)


def _open(path: Path, choose: Choice, threads: int) -> FrameStream:
    if path.is_dir():
        return open_folder(path, choose)
    if not path.is_file():
        raise VideoError(f"no such file: {path}")
    if path.stat().st_size == 0:
        raise VideoError(f"{path} is empty (0 bytes)")
    if path.suffix.lower() in IMAGE_SUFFIXES:
        return open_image(path)
    if path.name.lower().endswith(ARCHIVE_SUFFIXES):
        return open_archive(path, choose)
    try:
        with av.open(str(path)) as container:
            times, keys = _scan(container, path)
    except (av.FFmpegError, OSError) as error:
        raise VideoError(f"{path} is not a video that FFmpeg reads: {error}") from error
    wanted = choose(range(len(times)))
    there = [number for number in wanted if number < len(times)]
    return FrameStream(path, wanted, lambda: _decode(path, times, keys, there, threads))


def read_frames(path: Path, count: int, *, threads: int = 1) -> Frames:
    """All of `open_frames` at once."""
    stream = open_frames(path, count, threads=threads)
    frames = tuple(stream)
    return Frames(frames, stream.problem)


def every_frame(path: Path) -> Iterator[Frame]:
    """All frames of a video in order, numbered as `open_frames` numbers them.

    Raises:
      VideoError: it cannot be opened. A stream that breaks later just ends.
    """
    try:
        container = av.open(str(path))
    except (av.FFmpegError, OSError) as error:
        raise VideoError(f"{path} is not a video that FFmpeg reads: {error}") from error
    with container:
        stream = _video_stream(container, path)
        stream.thread_type = "AUTO"
        number = 0
        start: int | None = None
        try:
            for frame in container.decode(stream):
                time = frame.pts if frame.pts is not None else number
                start = time if start is None else start
                yield Frame(number, float((time - start) * stream.time_base), _upright(frame))
                number += 1
        except av.FFmpegError:
            return


def _video_stream(container: av.container.InputContainer, path: Path) -> Any:
    if not container.streams.video:
        raise VideoError(f"{path} has no video stream")
    return container.streams.video[0]


def _scan(container: av.container.InputContainer, path: Path) -> tuple[list[int], list[int]]:
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


def _decode(
    path: Path, times: list[int], keys: list[int], wanted: list[int], threads: int
) -> Iterator[Frame]:
    """Decodes up to each wanted frame, jumping where a key frame lies on the way."""
    try:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            assert stream.time_base is not None, "a video stream has a time base"
            stream.thread_type = "AUTO"
            stream.codec_context.thread_count = threads
            position = times[0] if times else 0
            frames = container.decode(stream)
            for number in wanted:
                target = times[number]
                key = max((k for k in keys if k <= target), default=position)
                if key > position:
                    container.seek(key, stream=stream)
                    frames = container.decode(stream)
                frame = next((f for f in frames if f.pts is None or f.pts >= target), None)
                if frame is None:
                    return
                position = frame.pts if frame.pts is not None else target
                seconds = float((target - times[0]) * stream.time_base)
                yield Frame(number, seconds, _upright(frame))
    except (av.FFmpegError, OSError) as error:
        raise Broken(str(error)) from error


def _upright(frame: av.VideoFrame) -> np.ndarray:
    """RGB by the stream's own colour matrix and range, turned as its metadata says."""
    image = frame.to_ndarray(format="rgb24")
    turns = round((frame.rotation or 0) / 90) % 4
    return np.ascontiguousarray(np.rot90(image, turns)) if turns else image
