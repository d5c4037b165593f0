"""Frames of a video: which, from where, and what happens to damaged files."""

import numpy as np
import pytest
from videos import jpeg, moving_square, write_clip, write_video

from data_pipeline.video import VideoError, evenly_spread, read_frames


def brightness(frame) -> float:
    """Inverts `moving_square`."""
    return (float(frame.image[16:32, 16:32].mean()) - 30) / 3


def test_frames_are_centres_of_equal_parts():
    assert evenly_spread(100, 4) == [12, 37, 62, 87]
    assert evenly_spread(750, 32)[0] == 11 and evenly_spread(750, 32)[-1] == 738
    assert evenly_spread(3, 32) == [0, 1, 2]
    assert evenly_spread(0, 4) == []


@pytest.mark.parametrize("key_every", [250, 5])
@pytest.mark.parametrize("suffix", ["mp4", "mkv", "avi"])
def test_the_right_frames_are_read_whether_decoding_seeks_or_not(tmp_path, suffix, key_every):
    path = write_clip(tmp_path / f"a clip 'é'.{suffix}", key_every=key_every)
    read = read_frames(path, 8)
    assert not read.problem
    assert [f.number for f in read.frames] == evenly_spread(40, 8)
    for frame in read.frames:
        assert abs(brightness(frame) - frame.number) < 1.0
        assert frame.timestamp == pytest.approx(frame.number / 25, abs=1e-3)


def test_colours_survive(tmp_path):
    frame = read_frames(write_clip(tmp_path / "a.mp4"), 1).frames[0]
    np.testing.assert_allclose(frame.image[60:70, 70:100].mean((0, 1)), (200, 40, 40), atol=6)


def test_a_video_of_one_frame(tmp_path):
    read = read_frames(write_clip(tmp_path / "one.mp4", count=1), 32)
    assert len(read.frames) == 1 and not read.problem


def test_an_image_is_a_video_of_one_frame(tmp_path):
    path = tmp_path / "face.jpg"
    path.write_bytes(jpeg(moving_square(5)))
    read = read_frames(path, 32)
    assert len(read.frames) == 1 and read.frames[0].image.shape == (96, 128, 3)


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "0 bytes"), (b"no video at all" * 100, "not a video")],
)
def test_files_that_are_no_videos(tmp_path, content, message):
    path = tmp_path / "bad.mp4"
    path.write_bytes(content)
    with pytest.raises(VideoError, match=message):
        read_frames(path, 4)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(VideoError, match="no such file"):
        read_frames(tmp_path / "none.mp4", 4)


def test_a_truncated_video_gives_what_comes_before_the_cut(tmp_path):
    noise = np.random.default_rng(0)
    frames = [noise.integers(0, 255, (96, 128, 3), dtype=np.uint8) for _ in range(40)]
    whole = write_video(tmp_path / "whole.mkv", frames)
    cut = tmp_path / "cut.mkv"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    read = read_frames(cut, 8)
    assert 0 < len(read.frames) <= 8
    assert max(f.number for f in read.frames) < 25
