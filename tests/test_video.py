"""Frames of a video: which, from where, and what happens to damaged files."""

from __future__ import annotations

import tarfile
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from videos import jpeg, moving_square, write_clip, write_video

from data_pipeline.extract.frames import VideoError, evenly_spread
from data_pipeline.extract.video import _needed, every_frame, read_frames


def brightness(frame: Any) -> float:
    """Inverts `moving_square`."""
    return (float(frame.image[16:32, 16:32].mean()) - 30) / 3


def test_frames_are_centres_of_equal_parts() -> None:
    assert evenly_spread(100, 4) == [12, 37, 62, 87]
    assert evenly_spread(750, 32)[0] == 11 and evenly_spread(750, 32)[-1] == 738
    assert evenly_spread(3, 32) == [0, 1, 2]
    assert evenly_spread(0, 4) == []


@pytest.mark.parametrize("key_every", [250, 5])
@pytest.mark.parametrize("suffix", ["mp4", "mkv", "avi"])
def test_the_right_frames_are_read_whether_decoding_seeks_or_not(
    tmp_path: Path, suffix: Any, key_every: Any
) -> None:
    path = write_clip(tmp_path / f"a clip 'é'.{suffix}", key_every=key_every)
    read = read_frames(path, 8)
    assert not read.problem
    assert [f.number for f in read.frames] == evenly_spread(40, 8)
    for frame in read.frames:
        assert abs(brightness(frame) - frame.number) < 1.0
        assert frame.timestamp == pytest.approx(frame.number / 25, abs=1e-3)


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts"])
def test_they_are_those_of_a_decoder_that_leaves_out_none(
    tmp_path: Path, suffix: str, threads: int
) -> None:
    path = write_clip(tmp_path / f"clip.{suffix}", key_every=15, preset="medium")
    plain = {frame.number: frame for frame in every_frame(path)}
    for count in (7, 40):
        read = read_frames(path, count, threads=threads)
        assert len(read.frames) == count
        for frame in read.frames:
            np.testing.assert_array_equal(frame.image, plain[frame.number].image)


def test_what_no_frame_refers_to_is_not_decoded(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.mp4", key_every=15, preset="medium")
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        came = [frame.pts for frame in _needed(container, stream, set())]
    with av.open(str(path)) as container:
        every = [frame.pts for frame in container.decode(video=0)]
    assert set(came) < set(every) and len(came) < 0.8 * len(every)


def test_colours_survive(tmp_path: Path) -> None:
    frame = read_frames(write_clip(tmp_path / "a.mp4"), 1).frames[0]
    np.testing.assert_allclose(frame.image[60:70, 70:100].mean((0, 1)), (200, 40, 40), atol=6)


def test_a_video_of_one_frame(tmp_path: Path) -> None:
    read = read_frames(write_clip(tmp_path / "one.mp4", count=1), 32)
    assert len(read.frames) == 1 and not read.problem


def test_an_image_is_a_video_of_one_frame(tmp_path: Path) -> None:
    path = tmp_path / "face.jpg"
    path.write_bytes(jpeg(moving_square(5)))
    read = read_frames(path, 32)
    assert len(read.frames) == 1 and read.frames[0].image.shape == (96, 128, 3)


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "0 bytes"), (b"no video at all" * 100, "not a video")],
)
def test_files_that_are_no_videos(tmp_path: Path, content: Any, message: Any) -> None:
    path = tmp_path / "bad.mp4"
    path.write_bytes(content)
    with pytest.raises(VideoError, match=message):
        read_frames(path, 4)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(VideoError, match="no such file"):
        read_frames(tmp_path / "none.mp4", 4)


def test_a_truncated_video_gives_what_comes_before_the_cut(tmp_path: Path) -> None:
    noise = np.random.default_rng(0)
    frames = [noise.integers(0, 255, (96, 128, 3), dtype=np.uint8) for _ in range(40)]
    whole = write_video(tmp_path / "whole.mkv", frames)
    cut = tmp_path / "cut.mkv"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    read = read_frames(cut, 8)
    assert 0 < len(read.frames) <= 8
    assert max(f.number for f in read.frames) < 25


@pytest.mark.parametrize(("matrix", "name"), [("bt709", "ITU709"), ("smpte170m", "ITU601")])
@pytest.mark.parametrize("full", [False, True])
def test_the_streams_own_colour_matrix_and_range_are_used(
    tmp_path: Path, matrix: Any, name: Any, full: Any
) -> None:
    colour = (40, 200, 60)
    path = tmp_path / "colour.mp4"
    span = "JPEG" if full else "MPEG"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.height = stream.width = 64
        stream.pix_fmt = "yuvj420p" if full else "yuv420p"
        tags = f"colormatrix={matrix}:colorprim={matrix}:transfer={matrix}"
        flag = "on" if full else "off"
        stream.options = {"crf": "1", "x264-params": f"{tags}:fullrange={flag}"}
        plain = av.VideoFrame.from_ndarray(np.full((64, 64, 3), colour, np.uint8), format="rgb24")
        for _ in range(3):
            frame = plain.reformat(format=stream.pix_fmt, dst_colorspace=name, dst_color_range=span)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    np.testing.assert_allclose(read_frames(path, 1).frames[0].image[32, 32], colour, atol=3)


def test_rotation_metadata_is_honoured(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", 3)
    upright = read_frames(path, 1).frames[0].image
    data = path.read_bytes()
    header = data.index(b"tkhd")
    unit, end = (1 << 16).to_bytes(4, "big"), (1 << 30).to_bytes(4, "big")
    minus, zero = (-(1 << 16)).to_bytes(4, "big", signed=True), bytes(4)
    identity = unit + zero * 3 + unit + zero * 3 + end
    quarter = zero + unit + zero + minus + zero * 4 + end  # turn 90° clockwise to see it upright
    at = data.index(identity, header)
    path.write_bytes(data[:at] + quarter + data[at + len(quarter) :])
    turned = read_frames(path, 1).frames[0].image
    assert turned.shape == (128, 96, 3)
    np.testing.assert_array_equal(turned, np.rot90(upright, -1))


def test_a_variable_frame_rate(tmp_path: Path) -> None:
    path = tmp_path / "vfr.mkv"
    times = [0, 40, 60, 500, 510, 900, 2000, 2010]  # milliseconds
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.height, stream.width, stream.pix_fmt = 96, 128, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        for number, time in enumerate(times):
            frame = av.VideoFrame.from_ndarray(moving_square(number), format="rgb24")
            frame.pts, frame.time_base = time, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    frames = read_frames(path, 4).frames
    assert [f.number for f in frames] == [1, 3, 5, 7]
    assert [round(f.timestamp * 1000) for f in frames] == [40, 500, 900, 2010]
    assert all(abs(brightness(f) - f.number) < 1 for f in frames)


def test_a_header_that_lies_about_the_number_of_frames(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.avi", 12)
    data = bytearray(path.read_bytes())
    for tag, offset in ((b"avih", 8 + 16), (b"strh", 8 + 32)):  # dwTotalFrames, dwLength
        at = data.index(tag) + offset
        assert int.from_bytes(data[at : at + 4], "little") == 12
        data[at : at + 4] = (5000).to_bytes(4, "little")
    path.write_bytes(data)
    read = read_frames(path, 4)
    assert [f.number for f in read.frames] == [1, 4, 7, 10] and not read.problem


def test_sound_alone_is_no_video(tmp_path: Path) -> None:
    path = tmp_path / "sound.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=44100)
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 4096), np.float32), "fltp", "mono")
        sound.sample_rate = 44100
        container.mux(stream.encode(sound))
        container.mux(stream.encode())
    with pytest.raises(VideoError, match="no video stream"):
        read_frames(path, 4)


def test_a_folder_and_an_archive_give_frames_by_their_numbers(tmp_path: Path) -> None:
    folder = tmp_path / "clip"
    folder.mkdir()
    for number in (2, 10, 33):
        (folder / f"frame_{number}.jpg").write_bytes(jpeg(moving_square(number)))
    (folder / "frame_12.jpg").write_bytes(b"damaged")
    with tarfile.open(tmp_path / "clip.tar.gz", "w:gz") as archive:
        archive.add(folder, "clip")
    for path in (folder, tmp_path / "clip.tar.gz"):
        read = read_frames(path, 8)
        assert [f.number for f in read.frames] == [2, 10, 33]
        assert "1 of 4 frames missing" in read.problem and "frame 12" in read.problem
    cut = tmp_path / "cut.tar.gz"
    cut.write_bytes((tmp_path / "clip.tar.gz").read_bytes()[:60])
    with pytest.raises(VideoError, match="not a whole tar archive"):
        read_frames(cut, 8)
    with pytest.raises(VideoError, match="holds no images"):
        (tmp_path / "empty").mkdir()
        read_frames(tmp_path / "empty", 8)


def test_frames_of_odd_numbers(tmp_path: Path) -> None:
    """Times, hashes and digits that are no numbers: by position, in the order of their names."""
    for names in (
        ("20240131123000000", "3", "20"),
        ("².jpg", "1"),
        (f"{'9' * 200}", "7"),
    ):
        folder = tmp_path / str(len(names[0]))
        folder.mkdir()
        for i, name in enumerate(names):
            (folder / f"{name}.jpg").write_bytes(jpeg(moving_square(i)))
        frames = read_frames(folder, 8).frames
        assert [frame.number for frame in frames] == list(range(len(names)))
