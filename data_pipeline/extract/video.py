"""Reading chosen frames of a video, or of what stands for one, as uint8 RGB."""

from __future__ import annotations

import bisect
import contextlib
import dataclasses
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from data_pipeline.extract.frames import (
    Broken,
    Choice,
    Frame,
    FrameStream,
    VideoError,
    choose_evenly,
)
from data_pipeline.extract.hdr import HLG, PQ, to_standard_range
from data_pipeline.extract.images import open_image
from data_pipeline.extract.kinds import kind_of, why_no_file
from data_pipeline.extract.limits import Limits, Stopwatch
from data_pipeline.extract.stills import ARCHIVE_SUFFIXES, open_archive, open_folder

if TYPE_CHECKING:
    import av  # of the extra `predict`: pictures are read without it


_MARKED = ("h264", "hevc", "mpeg2video", "mpeg4")
"""Decoders that can leave out frames which no other refers to; AV1's give wrong ones then."""


@dataclasses.dataclass(frozen=True)
class Frames:
    """What could be read of the frames asked for; `problem` says why some are missing, or is ""."""

    frames: tuple[Frame, ...]
    problem: str = ""


def open_frames(
    path: Path, count: int, *, threads: int = 1, limits: Limits | None = None
) -> FrameStream:
    """Frames spread evenly over a video, a folder or tar archive of images; the one of an image.

    What a file is its first bytes tell. The number of a video's frames is counted from its packets,
    since headers lie. A stream that breaks gives the frames before the break.

    Args:
      path: a file that FFmpeg or Pillow reads, or a folder of such images.
      count: frames wanted.
      threads: of the decoder.
      limits: of the decoder's work; None for those of `Limits`.

    Raises:
      VideoError: it cannot be opened; or, when frames are asked for, not one can be read.
    """
    return _open(path, choose_evenly(count), threads, limits or Limits())


def open_frames_at(path: Path, numbers: Sequence[int], *, threads: int = 1) -> FrameStream:
    """The frames of those numbers, as `open_frames` numbers them; those that are missing are told.

    Args:
      path, threads: see `open_frames`.
      numbers: in order.

    Raises:
      VideoError: see `open_frames`.
    """
    return _open(path, lambda _: list(numbers), threads, Limits())


def _open(path: Path, choose: Choice, threads: int, limits: Limits) -> FrameStream:
    if os.path.isdir(path):  # which a name that is too long does not raise from
        return open_folder(path, choose, limits)
    if reason := why_no_file(path):
        raise VideoError(f"{reason}: {path}")
    if path.stat().st_size == 0:
        raise VideoError(f"{path} is empty (0 bytes)")
    if kind_of(path) == "image":
        return open_image(path, choose, limits)
    if path.name.lower().endswith(ARCHIVE_SUFFIXES):
        return open_archive(path, choose, limits)
    with _container(path) as container:
        times, keys = _scan(container, path, limits)
    wanted = choose(range(len(times)))
    there = [number for number in wanted if number < len(times)]
    return FrameStream(path, wanted, lambda: _decode(path, times, keys, there, threads, limits))


def read_frames(
    path: Path, count: int, *, threads: int = 1, limits: Limits | None = None
) -> Frames:
    """All of `open_frames` at once."""
    stream = open_frames(path, count, threads=threads, limits=limits)
    frames = tuple(stream)
    return Frames(frames, stream.problem)


def every_frame(path: Path, limits: Limits | None = None) -> Iterator[Frame]:
    """All frames of a video or a moving image in order, numbered as `open_frames` numbers them.

    Args:
      path: of the file.
      limits: of the decoder's work; None for those of `Limits`.

    Raises:
      VideoError: it cannot be opened. A stream that breaks later, or takes too long, just ends.
    """
    limits = limits or Limits()
    if kind_of(path) == "image":
        yield from open_image(path, list, limits)
        return
    with _container(path) as container:
        stream = _video_stream(container, path, limits)
        stream.thread_type = "AUTO"
        number = 0
        start: int | None = None
        with contextlib.suppress(_ffmpeg().FFmpegError, Broken):
            for frame in Stopwatch(limits.max_seconds).over(container.decode(stream)):
                time = frame.pts if frame.pts is not None else number
                start = time if start is None else start
                yield Frame(number, float((time - start) * stream.time_base), _upright(frame))
                number += 1


def _ffmpeg() -> Any:
    """PyAV.

    Raises:
      VideoError: it is not installed.
    """
    try:
        import av
    except ModuleNotFoundError as error:
        raise VideoError(
            "videos need the package av (FFmpeg): pip install 'matnet-jax[predict]'"
        ) from error
    return av


@contextlib.contextmanager
def _container(path: Path) -> Iterator[av.container.InputContainer]:
    """An open file, whose errors on the way are VideoErrors."""
    av = _ffmpeg()
    # Words that are no UTF-8: PyAV 19 reads them by itself, and knows the argument no more.
    lenient = {"metadata_errors": "replace"} if int(av.__version__.split(".")[0]) < 19 else {}
    try:
        with av.open(str(path), **lenient) as container:
            yield container
    except (av.FFmpegError, OSError) as error:
        raise VideoError(f"{path} is not a video that FFmpeg reads: {error}") from error


def _video_stream(container: av.container.InputContainer, path: Path, limits: Limits) -> Any:
    """The first stream of pictures that are not a sound file's cover, limited in its pixels."""
    av = _ffmpeg()
    cover = av.stream.Disposition.attached_pic
    streams = [s for s in container.streams.video if not s.disposition & cover]
    if not streams:
        raise VideoError(f"{path} has no video stream")
    stream = streams[0]
    codec = stream.codec_context
    if codec is None:
        raise VideoError(f"{path} is a video in a format that FFmpeg knows no decoder of")
    limits.check_size(codec.width, codec.height)
    # A stream may grow on the way. FFmpeg's own bound, which it looks at before it allocates.
    codec.options = {**codec.options, "max_pixels": str(limits.max_pixels)}
    return stream


def _scan(
    container: av.container.InputContainer, path: Path, limits: Limits
) -> tuple[list[int], list[int]]:
    """Times of all frames in display order, and of the key frames, in units of the time base."""
    stream = _video_stream(container, path, limits)
    times, keys = [], []
    try:
        for packet in Stopwatch(limits.max_seconds).over(container.demux(stream)):
            time = packet.pts if packet.pts is not None else packet.dts
            if packet.size and time is not None and not packet.is_discard:
                times.append(time)
                if packet.is_keyframe:
                    keys.append(time)
    except _ffmpeg().FFmpegError:
        pass  # cut off: what came before it counts
    except Broken as error:
        raise VideoError(f"{path}: {error}") from error
    return sorted(times), sorted(keys)


def _decode(
    path: Path,
    times: list[int],
    keys: list[int],
    wanted: list[int],
    threads: int,
    limits: Limits,
) -> Iterator[Frame]:
    """Decodes up to each wanted frame, jumping where a key frame lies on the way."""
    watch = Stopwatch(limits.max_seconds)
    try:
        with _container(path) as container:
            stream = _video_stream(container, path, limits)
            assert stream.time_base is not None, "a video stream has a time base"
            stream.thread_type = "AUTO"
            stream.codec_context.thread_count = threads
            position = times[0] if times else 0
            targets = {times[number] for number in wanted}
            frames = watch.over(_needed(container, stream, targets))
            for number in wanted:
                target = times[number]
                before = keys[: bisect.bisect_right(keys, target)]
                if before and position < before[-1]:
                    later = [time for time in before if time > position]
                    frames = watch.over(_from(container, stream, times[0], later, targets))
                frame = next((f for f in frames if f.pts is None or f.pts >= target), None)
                if frame is None:
                    return
                position = frame.pts if frame.pts is not None else target
                seconds = float((target - times[0]) * stream.time_base)
                yield Frame(number, seconds, _upright(frame))
    except VideoError as error:
        raise Broken(str(error)) from error


def _from(
    container: av.container.InputContainer,
    stream: Any,
    start: int,
    keys: list[int],
    targets: set[int],
) -> Iterator[av.VideoFrame]:
    """What `_needed` gives from the last of the key frames on.

    A container without an index, as MPEG-TS is, may be sought beyond it: then it is the one before,
    and at last the start.
    """
    for key in (*keys[:-3:-1], start):
        container.seek(key, stream=stream)
        frames = _needed(container, stream, targets)
        first = next(frames, None)
        if first is not None and (first.pts is None or first.pts <= keys[-1]):
            yield first
            yield from frames
            return


def _needed(
    container: av.container.InputContainer, stream: Any, targets: set[int]
) -> Iterator[av.VideoFrame]:
    """Frames in order of display, without those that are no target and that no other refers to.

    FFmpeg drops them undecoded, of codecs of `_MARKED`; the others come out as ever, bit for bit.
    """
    codec = stream.codec_context
    # AVI has times of decoding alone, which do not say which packet is which frame.
    marked = codec.name in _MARKED and container.format.name != "avi"
    for packet in container.demux(stream):
        if marked:
            # A packet without a time may be any frame.
            whole = packet.pts is None or packet.pts in targets
            codec.skip_frame = "DEFAULT" if whole else "NONREF"
        yield from packet.decode()


def _upright(frame: av.VideoFrame) -> np.ndarray:
    """RGB by the stream's own colour matrix and range, turned as its metadata says."""
    if frame.color_trc in (PQ, HLG):
        image = to_standard_range(frame.to_ndarray(format="rgb48le"), frame.color_trc)
    else:
        image = frame.to_ndarray(format="rgb24")
    turns = round((frame.rotation or 0) / 90) % 4
    return np.ascontiguousarray(np.rot90(image, turns)) if turns else image
