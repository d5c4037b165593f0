"""Problems that may have passed: what a rerun extracts again, and what it leaves."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from preparing import SETTINGS, OneFace, fake_workers, video  # noqa: F401
from videos import jpeg, moving_square, write_clip

from data_pipeline.extract import beam
from data_pipeline.extract.again import forget_passed, passes, state_of
from data_pipeline.extract.crops import Settings, extract_video, extraction_path, failed
from data_pipeline.extract.extraction import DamagedError, Extraction
from data_pipeline.extract.frames import VideoError
from data_pipeline.prepare import prepare


def stored(out: Path, v: Any) -> Path:
    path = extraction_path(out, v, SETTINGS)
    extract_video(v, SETTINGS, OneFace()).save(path)
    return path


def forgets(path: Path, v: Any) -> bool:
    forget_passed({path: v}, {}, masks=False)
    return not path.exists()


def test_a_file_that_was_cut_off_is_read_again_once_it_is_whole(
    tmp_path: Path, fake_workers: Any
) -> None:
    whole = write_clip(tmp_path / "whole.mp4", 10).read_bytes()
    write_clip(tmp_path / "own" / "real" / "a.mp4", 10)
    cut = tmp_path / "own" / "fake" / "b.mp4"
    cut.parent.mkdir()
    cut.write_bytes(whole[: len(whole) // 2])
    for _ in range(2):
        report = prepare("folder", tmp_path / "own", tmp_path / "out", settings=SETTINGS)
        [(_, problem)] = report.failures
        assert "not a video that FFmpeg reads" in problem and report.faces == 4
    kept = {p: p.stat().st_mtime_ns for p in (tmp_path / "out" / "videos").iterdir()}
    cut.write_bytes(whole)
    report = prepare("folder", tmp_path / "own", tmp_path / "out", settings=SETTINGS)
    assert report.faces == 8 and not report.failures
    changed = [p for p, time in kept.items() if p.stat().st_mtime_ns != time]
    assert len(changed) == 1  # the other was not touched


def test_a_disk_that_was_away_condemns_nothing(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "data" / "a.mp4", 10)
    (tmp_path / "data").rename(tmp_path / "away")
    file = stored(tmp_path, video(path))
    assert "no such file" in Extraction.load(file).problem
    assert forgets(file, video(path))


def test_a_disk_that_goes_away_meanwhile_condemns_nothing(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "data" / "a.mp4", 10)

    class LastSight(OneFace):
        def detect(self, image: Any) -> Any:
            if path.exists():
                path.unlink()
            return []

    extraction = extract_video(video(path), SETTINGS, LastSight())
    assert extraction.problem and extraction.state is None


def test_what_is_of_the_file_stays(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(b"no video")
    file = stored(tmp_path, video(path))
    assert not forgets(file, video(path))
    os.utime(path, (1, 1))
    assert forgets(file, video(path))
    whole = video(write_clip(tmp_path / "b.mp4", 10))
    file = stored(tmp_path, whole)
    os.utime(whole.path, (1, 1))  # copied anew, and nothing was wrong with it
    assert not forgets(file, whole)


def test_what_an_older_version_stored_is_read_and_tried_once(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(b"no video")
    file = stored(tmp_path, video(path))
    with np.load(file) as fields:
        held = dict(fields)
    meta = json.loads(str(held.pop("meta")))
    del meta["state"]
    np.savez(file, meta=json.dumps(meta), **held)
    assert Extraction.load(file).problem == Extraction.load(file, crops=False).problem != ""
    assert forgets(file, video(path))


def test_a_folder_of_images_is_another_when_one_is_written_over(tmp_path: Path) -> None:
    clip, mask = tmp_path / "clip", tmp_path / "mask.png"
    clip.mkdir()
    for name in ("1.jpg", "2.jpg"):
        (clip / name).write_bytes(jpeg(moving_square(3)))
    v = video(clip, 1, mask=mask)
    before = state_of(v, masks=False)
    (clip / "1.jpg").write_bytes(b"cut off")
    after = state_of(v, masks=False)
    assert before is not None and after is not None and before != after
    assert state_of(v, masks=True) is None  # no mask there
    mask.write_bytes(b"mask")
    assert state_of(v, masks=True) == [*after, [4, mask.stat().st_mtime_ns]]


def test_fakes_follow_the_real_whose_boxes_they_got(tmp_path: Path) -> None:
    real, fake = tmp_path / "real.npz", tmp_path / "fake.npz"
    v, forged = video(tmp_path / "1.mp4"), video(tmp_path / "0_1.mp4", 1)
    failed(v, SETTINGS, "cut off").save(real)
    failed(forged, SETTINGS, "").save(fake)
    forget_passed({real: v, fake: forged}, {forged: real}, masks=False)
    assert not real.exists() and not fake.exists()


def test_errors_of_disk_and_memory_pass() -> None:
    wrapped = VideoError("not a video")
    wrapped.__cause__ = PermissionError(errno.EACCES, "Permission denied")
    assert all(map(passes, (wrapped, MemoryError(), DamagedError("x.npz"))))
    assert not passes(None) and not passes(VideoError("no video stream"))
    assert not passes(OSError("image file is truncated"))  # Pillow's


@pytest.mark.parametrize("error", [OSError(errno.EIO, "Input/output error"), MemoryError()])
def test_a_worker_leaves_such_a_video_to_the_next_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def refuse(*_: Any) -> None:
        raise error

    v = video(write_clip(tmp_path / "a.mp4", 10))
    monkeypatch.setattr("data_pipeline.extract.crops.open_frames", refuse)
    _process(tmp_path, v, None)


def test_boxes_that_cannot_be_read_condemn_no_fake(tmp_path: Path) -> None:
    boxes = tmp_path / "real.npz"
    boxes.write_bytes(b"PK damaged")
    _process(tmp_path, video(write_clip(tmp_path / "a.mp4", 10)), boxes)


def _process(out: Path, v: Any, boxes: Path | None) -> None:
    settings = Settings(detector="none", num_frames=2, crop_size=48)
    work = beam._Extract(settings, out, None)
    work.setup()
    work.process((v, boxes))
    path = extraction_path(out, v, settings)
    assert "unexpected" in Extraction.load(path).problem
    assert forgets(path, v)
