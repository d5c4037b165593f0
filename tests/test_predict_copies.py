"""Annotated copies of what was scored."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from disk import file_size_limit
from PIL import Image
from stub_network import SETTINGS, squares, stub
from videos import jpeg, moving_square, write_clip

from data_pipeline.extract.frames import VideoError
from data_pipeline.extract.limits import Limits
from matnet_jax.predict import Predictor
from matnet_jax.predict.files import overlay_name, predict_files
from matnet_jax.predict.overlay import write_overlay

__all__ = ["squares", "stub"]  # fixtures


def test_annotated_copies(stub: Any, tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "<script>.mp4", 40)
    image = tmp_path / "still.jpg"
    image.write_bytes(jpeg(moving_square(60)))
    out = tmp_path / "out"
    done = predict_files(stub.predictor, [str(clip), str(image)], out, overlay=True)
    assert not any(p.error for p in done)
    movie = out / "overlays" / f"{overlay_name(str(clip))}.mp4"
    with av.open(str(movie)) as container:
        stream = container.streams.video[0]
        frames = list(container.decode(stream))
        assert stream.codec_context.name == "h264" and len(frames) == 40
        assert (frames[0].width, frames[0].height) == (640, 96 + 128)
        assert frames[-1].time == pytest.approx(39 / 25, abs=0.01)
    plain = frames[20].to_ndarray(format="rgb24")
    left = (640 - 128) // 2
    edge = plain[20, left + 8].astype(int)  # the box's left side
    assert abs(edge - moving_square(20)[20, 8].astype(int)).max() > 40
    assert plain[96:, :256].any() and plain[96:, 256:].any()  # maps, plot
    assert {p.suffix for p in (out / "overlays").iterdir()} == {".mp4", ".png", ".jpg"}
    page = (out / "predictions.html").read_text(encoding="utf-8")
    assert page.count("data:image/jpeg;base64,") == 2 and "://" not in page
    assert "<script" not in page and "&lt;script&gt;.mp4" in page
    assert f"{done[1].score:.4f}" in page and done[1].finding in page


@pytest.mark.parametrize("size", [(96, 641), (95, 640), (97, 1001), (96, 399)])
def test_copies_of_any_size(stub: Any, tmp_path: Path, size: tuple[int, int]) -> None:
    (height, width), path = size, tmp_path / "a.jpg"
    path.write_bytes(jpeg(np.full((height, width, 3), 90, np.uint8)))
    target = write_overlay(stub.predictor(path), tmp_path / "out")
    copy = Image.open(target)
    assert copy.size == (max(width, 640) // 2 * 2, height // 2 * 2 + 128)
    assert np.asarray(copy)[height // 2, copy.width // 2].mean() == pytest.approx(90, abs=3)


def test_a_rerun_makes_the_copies_that_are_missing(stub: Any, tmp_path: Path) -> None:
    paths = [str(write_clip(tmp_path / f"{i}.mp4", 8)) for i in range(2)]
    out = tmp_path / "out"
    done = predict_files(stub.predictor, paths, out)
    again = predict_files(stub.predictor, paths, out, overlay=True, resume=True)
    copies = out / "overlays"
    assert len(list(copies.glob("*.mp4"))) == 2
    assert [p.score for p in again] == [p.score for p in done]
    assert len(list(csv.DictReader((out / "predictions.csv").open()))) == 2
    stub.sizes.clear()
    (copies / f"{overlay_name(paths[0])}.png").unlink()
    predict_files(stub.predictor, paths, out, overlay=True, resume=True)
    assert sum(stub.sizes) == again[0].faces and len(list(copies.glob("*.png"))) == 2


def test_copies_are_made_within_the_limits_of_scoring(stub: Any, tmp_path: Path) -> None:
    clip, image = write_clip(tmp_path / "a.mp4", 40), tmp_path / "a.jpg"
    image.write_bytes(jpeg(moving_square(60)))
    predictions = [stub.predictor(path) for path in (clip, image)]
    for prediction in predictions:
        with pytest.raises(VideoError, match="more than the 100 allowed"):
            write_overlay(prediction, tmp_path / "out", limits=Limits(max_pixels=100))
    with pytest.raises(ValueError, match="no frame decodes"):
        write_overlay(predictions[0], tmp_path / "out", limits=Limits(max_seconds=0.0))
    assert list(tmp_path.glob("out*")) == []


def test_a_copy_that_the_disk_has_no_room_for_is_not_there(stub: Any, tmp_path: Path) -> None:
    path, out = tmp_path / "a.jpg", tmp_path / "out"
    path.write_bytes(jpeg(moving_square(60)))
    prediction = Predictor(stub.network, settings=SETTINGS, keep_attention=True)(path)
    with file_size_limit(4096), pytest.raises(OSError, match="too large"):
        write_overlay(prediction, out)
    assert not list(tmp_path.glob("*out*"))
    assert write_overlay(prediction, out).stat().st_size > 4096


def test_a_copy_that_is_cut_off_is_not_on_the_page(stub: Any, tmp_path: Path) -> None:
    path, out = tmp_path / "a.jpg", tmp_path / "out"
    path.write_bytes(jpeg(moving_square(60)))
    predict_files(stub.predictor, [str(path)], out, overlay=True)
    [copy] = (out / "overlays").iterdir()
    copy.write_bytes(copy.read_bytes()[:4096])
    [done] = predict_files(stub.predictor, [str(path)], out, overlay=True, resume=True)
    page = (out / "predictions.html").read_text(encoding="utf-8")
    assert f"{done.score:.4f}" in page and "data:image" not in page
