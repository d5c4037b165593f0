"""Boxes found on one video, used for others of the same footage."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from preparing import OneFace, video
from videos import write_clip

from data_pipeline.extract.crops import ORIGINALS, Settings, extract_video, extraction_path
from data_pipeline.extract.footage import FootageError, box_files, stored_boxes

SETTINGS = Settings(num_frames=4, crop_size=64)


class NoFace:
    def detect(self, image: Any) -> None:
        raise AssertionError("boxes are known: nothing is to be detected")


def pair(root: Path, compression: str = "c23") -> Any:
    """A real video and a fake of it."""
    fields = {"compression": compression, "original": "001"}
    real = video(write_clip(root / compression / "001.mp4", 20), **fields)
    fake_path = write_clip(root / compression / "001_002.mp4", 20)
    return real, video(fake_path, 1, subset="Deepfakes", **fields)


def test_a_fake_takes_the_boxes_of_its_real(tmp_path: Path) -> None:
    settings = Settings(num_frames=4, crop_size=64, boxes_from=ORIGINALS)
    real, fake = pair(tmp_path)
    files = box_files([real, fake], settings, tmp_path)
    assert files == {fake: extraction_path(tmp_path, real, settings)}
    assert stored_boxes(files[fake]) is None  # not there yet: the real comes first
    own = extract_video(real, settings, OneFace())
    own.save(files[fake])
    reused = extract_video(fake, settings, NoFace(), boxes=stored_boxes(files[fake]))
    np.testing.assert_array_equal(reused.box, own.box)
    np.testing.assert_array_equal(reused.frame, own.frame)
    assert not reused.problem
    # The real of another compression is another video.
    other, _ = pair(tmp_path, "c40")
    assert box_files([other, fake], settings, tmp_path) == {}


def test_an_earlier_run_serves_every_compression_and_the_fakes(tmp_path: Path) -> None:
    real, _fake = pair(tmp_path)
    extraction = extract_video(real, SETTINGS, OneFace())
    path = extraction_path(tmp_path / "earlier", real, SETTINGS)
    extraction.save(path)
    settings = Settings(num_frames=4, crop_size=64, boxes_from=str(tmp_path / "earlier"))
    harder_real, harder_fake = pair(tmp_path, "c40")
    files = box_files([harder_real, harder_fake], settings, tmp_path)
    assert files == {harder_real: path, harder_fake: path}


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    settings = Settings(boxes_from=str(tmp_path))
    with pytest.raises(FootageError, match=r"no videos/\*.npz there"):
        box_files([], settings, tmp_path)


def test_boxes_of_other_footage_are_a_failure_not_a_crash(tmp_path: Path) -> None:
    real, _fake = pair(tmp_path)
    wide = write_clip(tmp_path / "wide.mp4", 20)
    boxes = extract_video(real, SETTINGS, OneFace()).boxes
    boxes = type(boxes)(**{**vars(boxes), "size": (128, 128)})
    extraction = extract_video(video(wide, 1), SETTINGS, NoFace(), boxes=boxes)
    assert "128×128 pixels, the video has 128×96" in extraction.problem and not len(extraction)


def test_the_real_and_its_fake_of_the_shared_data_get_the_same_crops(
    shared_data: Path, shared_models: Path, tmp_path: Path
) -> None:
    from data_pipeline.detectors import create_detector
    from data_pipeline.training.decode import decode_image

    root = shared_data / "ffpp"
    real = video(root / "original_sequences/youtube/c23/videos/519.mp4")
    fake = video(root / "manipulated_sequences/Deepfakes/c23/videos/519_515.mp4", 1)
    settings = Settings(num_frames=4, crop_size=96, detector="yunet")
    detector = create_detector("yunet", shared_models / "face_detection_yunet_2023mar.onnx")
    own = extract_video(real, settings, detector)
    reused = extract_video(fake, settings, NoFace(), boxes=own.boxes)
    assert len(reused) == len(own) == 4
    for a, b in zip(own.crops, reused.crops, strict=True):
        edge = np.abs(decode_image(a)[:8].astype(float) - decode_image(b)[:8])
        assert edge.mean() < 12  # the same place; only the face's inside was forged
