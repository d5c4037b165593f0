"""Any file: what pictures and videos of each kind decode to, and what is refused with a reason."""

from __future__ import annotations

import io
import os
import struct
import sys
import zlib
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from heif import heic
from PIL import Image, ImageOps
from videos import moving_square, write_clip

from data_pipeline.extract.frames import VideoError
from data_pipeline.extract.hdr import HLG, PQ, to_standard_range
from data_pipeline.extract.images import is_moving
from data_pipeline.extract.kinds import kind_of, kind_of_bytes, why_no_file
from data_pipeline.extract.limits import Limits
from data_pipeline.extract.video import every_frame, read_frames

PICTURE = moving_square(30, size=(96, 128))


def save(path: Path, image: Any, **options: Any) -> Path:
    picture = image if isinstance(image, Image.Image) else Image.fromarray(image)
    picture.save(path, **options)
    return path


def only(path: Path, **options: Any) -> np.ndarray:
    read = read_frames(path, 32, **options)
    assert len(read.frames) == 1 and not read.problem
    return read.frames[0].image


@pytest.mark.parametrize(
    ("ending", "options", "away"),
    [
        ("png", {}, 0),
        ("bmp", {}, 0),
        ("tiff", {}, 0),
        ("tif", {"compression": "tiff_lzw"}, 0),
        ("webp", {"lossless": True}, 0),
        ("jpg", {"quality": 95}, 4),
        ("jp2", {}, 4),
        ("avif", {"quality": 90}, 6),
    ],
)
def test_pictures(tmp_path: Path, ending: Any, options: Any, away: Any) -> None:
    found = only(save(tmp_path / f"a.{ending}", PICTURE, **options))
    assert found.shape == PICTURE.shape and found.dtype == np.uint8
    off = np.abs(found.astype(int) - PICTURE)
    assert off.mean() <= away / 2 and off[60:70, 70:100].mean() <= away


@pytest.mark.parametrize("quarter_turns", [0, 1])
def test_heic_of_tiles_and_turned(tmp_path: Path, quarter_turns: Any) -> None:
    path = tmp_path / "a.heic"
    path.write_bytes(heic(PICTURE, tile=64, quarter_turns=quarter_turns))
    wanted = np.rot90(PICTURE, quarter_turns)
    found = only(path)
    assert found.shape == wanted.shape
    assert np.abs(found.astype(int) - wanted).mean() < 3


def test_without_its_package_heic_says_which(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.heic"
    path.write_bytes(heic(PICTURE, tile=128))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(VideoError, match=r"pip install 'matnet-jax\[predict\]'"):
        read_frames(path, 1)


def test_colours_other_than_8_bit_rgb(tmp_path: Path) -> None:
    grey = PICTURE[..., 0]
    deep = grey.astype(np.uint16) << 8 | 0x7F
    for ending in ("png", "tiff"):
        assert np.array_equal(only(save(tmp_path / f"16.{ending}", deep))[..., 1], grey)
    plain = Image.fromarray(PICTURE)
    assert np.abs(only(save(tmp_path / "cmyk.tif", plain.convert("CMYK"))) - PICTURE).max() <= 1
    cmyk = only(save(tmp_path / "cmyk.jpg", plain.convert("CMYK"), quality=95))
    assert np.abs(cmyk.astype(int) - PICTURE).mean() < 3
    assert np.array_equal(only(save(tmp_path / "rgba.png", plain.convert("RGBA"))), PICTURE)
    assert only(save(tmp_path / "p.png", plain.convert("P"))).shape == PICTURE.shape
    assert set(np.unique(only(save(tmp_path / "1.png", plain.convert("1"))))) == {0, 255}
    with pytest.raises(VideoError, match="floating-point"):
        only(save(tmp_path / "f.tif", grey.astype(np.float32)))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(tmp_path: Path, orientation: Any) -> None:
    stored = Image.fromarray(PICTURE)
    stored.getexif()[0x0112] = orientation
    path = save(tmp_path / "a.png", stored, exif=stored.getexif())
    with Image.open(path) as picture:
        upright = ImageOps.exif_transpose(picture)
        assert np.array_equal(only(path), np.asarray(upright))


@pytest.mark.parametrize("ending", ["gif", "webp", "png", "avif"])
def test_moving_pictures_are_videos(tmp_path: Path, ending: Any) -> None:
    frames = [Image.fromarray(moving_square(5 * i)) for i in range(12)]
    path = tmp_path / f"a.{ending}"
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=80)
    assert is_moving(path)
    read = read_frames(path, 4)
    assert [f.number for f in read.frames] == [1, 4, 7, 10] and not read.problem
    assert [f.timestamp for f in read.frames] == pytest.approx([0.08, 0.32, 0.56, 0.8], abs=1e-3)
    for frame in read.frames:
        assert abs(float(frame.image[16:32, 16:32].mean()) - (15 * frame.number + 30)) < 8
    assert [f.number for f in every_frame(path)] == list(range(12))


def test_pages_are_no_film(tmp_path: Path) -> None:
    pages = [Image.fromarray(moving_square(5 * i)) for i in range(3)]
    path = tmp_path / "a.tiff"
    pages[0].save(path, save_all=True, append_images=pages[1:])
    assert np.array_equal(only(path), moving_square(0)) and not is_moving(path)


def film(path: Path, codec: str, *, pix_fmt: str = "yuv420p", **options: str) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25)
        stream.height, stream.width, stream.pix_fmt = 96, 128, pix_fmt
        stream.options = options
        for i in range(12):
            image = av.VideoFrame.from_ndarray(moving_square(5 * i), format="rgb24")
            container.mux(stream.encode(image))
        container.mux(stream.encode())
    return path


QUIET = "log-level=none"


FILMS: list[tuple[str, str, dict[str, str]]] = [
    ("mov", "libx264", {}),
    ("mkv", "libx265", {"x265-params": QUIET, "preset": "ultrafast"}),
    ("mp4", "libx265", {"x265-params": QUIET, "preset": "ultrafast", "pix_fmt": "yuv420p10le"}),
    ("mp4", "libsvtav1", {"preset": "12", "svtav1-params": "lp=1"}),
    ("webm", "libvpx-vp9", {"cpu-used": "8"}),
    ("avi", "mjpeg", {"pix_fmt": "yuvj420p"}),
    ("mov", "prores_ks", {"pix_fmt": "yuv422p10le"}),
    ("mpg", "mpeg2video", {}),
    ("m2ts", "mpeg2video", {}),
    ("wmv", "wmv2", {}),
    ("flv", "flv1", {}),
    ("mkv", "ffv1", {}),
]


@pytest.mark.parametrize(("ending", "codec", "options"), FILMS)
def test_videos(tmp_path: Path, ending: Any, codec: Any, options: Any) -> None:
    path = film(tmp_path / f"a.{ending}", codec, **options)
    assert kind_of(path) == "video"
    bare = path.rename(tmp_path / "without an ending")
    assert kind_of(bare) == "video"
    read = read_frames(bare, 4)
    assert [f.number for f in read.frames] == [1, 4, 7, 10] and not read.problem
    for frame in read.frames:
        assert abs(float(frame.image[16:32, 16:32].mean()) - (15 * frame.number + 30)) < 12


@pytest.mark.parametrize(("name", "number"), [("smpte2084", PQ), ("arib-std-b67", HLG)])
def test_high_dynamic_range_looks_as_on_a_usual_screen(
    tmp_path: Path, name: Any, number: Any
) -> None:
    """Greys below the knee come back as they were; a light ten times white is nearly white."""
    greys = np.array([0.1, 0.3, 0.5, 0.7])
    light = 203 * np.append(greys**2.4, 10 / 203 * 4.9 * 10)  # cd/m²
    if number == PQ:
        root = (light / 10000) ** (2610 / 16384)
        signal = ((3424 / 4096 + 2413 / 128 * root) / (1 + 2392 / 128 * root)) ** (2523 / 32)
    else:
        scene = np.minimum(light / 1000, 1) ** (1 / 1.2)
        bright = 0.17883277 * np.log(np.maximum(12 * scene - 0.28466892, 1e-9)) + 0.55991073
        signal = np.where(scene <= 1 / 12, np.sqrt(3 * scene), bright)
    shown = to_standard_range(
        np.repeat(np.round(65535 * signal).astype(np.uint16)[None, :, None], 3, axis=2), number
    )[0, :, 1]
    assert shown[:4] / 255 == pytest.approx(greys, abs=0.01) and 235 <= shown[4] <= 255

    path = tmp_path / "hdr.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx265", rate=25)
        stream.height = stream.width = 64
        stream.pix_fmt = "yuv420p10le"
        # With B-frames, x265 reads a lone frame's decoding time from unset memory.
        tags = f"{QUIET}:bframes=0:colorprim=bt2020:transfer={name}:colormatrix=bt2020nc"
        stream.options = {"x265-params": tags, "crf": "4"}
        luma = np.full((64, 64), round(64 + 876 * signal[2]), np.uint16)
        planes = np.concatenate([luma.ravel(), np.full(2 * 32 * 32, 512, np.uint16)])
        frame = av.VideoFrame.from_ndarray(planes.reshape(96, 64), format="yuv420p10le")
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    assert np.abs(only(path)[32, 32] / 255 - 0.5).max() < 0.02


def test_content_counts_and_not_the_ending(tmp_path: Path) -> None:
    assert only(save(tmp_path / "a.jpg", PICTURE, format="PNG")).shape == PICTURE.shape
    clip = write_clip(tmp_path / "a.mp4", 4).rename(tmp_path / "clip.png")
    assert len(read_frames(clip, 32).frames) == 4
    for head in (b"", b"%PDF-1.7", b"PK\3\4", b"#!/bin/sh\n", b"BMW is a car maker" * 9):
        assert kind_of_bytes(head) == ""


def test_what_is_no_file_is_said(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")
    (tmp_path / "dangling").symlink_to(tmp_path / "gone")
    assert why_no_file(tmp_path / "pipe.mp4") == "a named pipe, no file"
    assert why_no_file(tmp_path / "dangling") == "a link to nothing"
    assert why_no_file(tmp_path) == "a folder, no file"
    assert why_no_file(tmp_path / "gone") == "no such file"
    with pytest.raises(VideoError, match="a named pipe"):
        read_frames(tmp_path / "pipe.mp4", 1)
    with pytest.raises(VideoError, match="too long"):
        read_frames(tmp_path / ("x" * 300), 1)


def test_a_sound_s_cover_is_no_video(tmp_path: Path) -> None:
    path = tmp_path / "song.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=1)
        stream.height, stream.width, stream.pix_fmt = 96, 128, "yuvj420p"
        stream.disposition = av.stream.Disposition.attached_pic
        container.mux(stream.encode(av.VideoFrame.from_ndarray(PICTURE, format="rgb24")))
        container.mux(stream.encode())
    with av.open(str(path)) as container:
        marked = container.streams.video[0].disposition & av.stream.Disposition.attached_pic
    if not marked:
        pytest.skip("this FFmpeg writes no covers")
    with pytest.raises(VideoError, match="no video stream"):
        read_frames(path, 1)


def bomb(side: int) -> bytes:
    """A PNG of `side`² pixels that says so in a few bytes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        content = kind + data
        return struct.pack(">I", len(data)) + content + struct.pack(">I", zlib.crc32(content))

    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    packed = zlib.compress(bytes(1 + -(-side // 8)) * 100)
    chunks = chunk(b"IHDR", header), chunk(b"IDAT", packed), chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def test_limits(tmp_path: Path) -> None:
    path = tmp_path / "bomb.png"
    path.write_bytes(bomb(60_000))
    with pytest.raises(VideoError, match="60000 × 60000 pixels are more than the 200,000,000"):
        read_frames(path, 1)
    clip = write_clip(tmp_path / "a.mp4", 8)
    with pytest.raises(VideoError, match=r"128 × 96 pixels .*--max_pixels"):
        read_frames(clip, 1, limits=Limits(max_pixels=128 * 96 - 1))
    with pytest.raises(VideoError, match="--max_seconds"):
        read_frames(clip, 1, limits=Limits(max_seconds=0.0))
    frames = [Image.fromarray(moving_square(i)) for i in range(8)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    with pytest.raises(VideoError, match="--max_seconds"):
        read_frames(tmp_path / "a.gif", 8, limits=Limits(max_seconds=0.0))


@pytest.mark.skipif(sys.platform == "darwin", reason="names are UTF-8 there")
def test_a_name_that_is_no_utf_8(tmp_path: Path) -> None:
    folder = os.fsencode(tmp_path)
    clip = write_clip(tmp_path / "a.mp4", 8)
    os.rename(clip, folder + b"/\xff\xfe.mp4")
    assert len(read_frames(Path(os.fsdecode(folder + b"/\xff\xfe.mp4")), 4).frames) == 4
    buffer = io.BytesIO()
    Image.fromarray(PICTURE).save(buffer, "PNG")
    Path(os.fsdecode(folder + b"/\xff.png")).write_bytes(buffer.getvalue())
    assert only(Path(os.fsdecode(folder + b"/\xff.png"))).shape == PICTURE.shape
