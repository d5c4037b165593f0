"""Masks of the forged region: from a mask video to records, lined up with their crops."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from preparing import OneFace, fake_workers, video  # noqa: F401
from records import read_images
from videos import write_clip, write_video

from data_pipeline.datasets import SPLITS, open_data_set
from data_pipeline.extract.crops import Settings, extract_video, extraction_path
from data_pipeline.extract.extraction import Extraction
from data_pipeline.pack import pack
from data_pipeline.prepare import PrepareError, prepare
from data_pipeline.training.errors import DataError
from data_pipeline.training.sources import RecordSource

SETTINGS = Settings(num_frames=4, crop_size=64, masks=True)


def patch(number: int, inside: int) -> np.ndarray:
    """A dark frame [96, 128, 3] with a bright patch that moves."""
    image = np.full((96, 128, 3), 16, np.uint8)
    image[30:60, 30 + number : 58 + number] = inside
    return image


def forged(folder: Any, *, count: int = 20, masks: int | None = None, **fields: Any) -> Any:
    """A fake whose forged region is brighter, and the video of its masks."""
    path = write_video(folder / "clip.mp4", [patch(i, 230) for i in range(count)], crf=1)
    frames = [patch(i, 255) for i in range(count if masks is None else masks)]
    mask = write_video(folder / "masks" / "clip.mp4", frames)
    return video(path, 1, subset="Deepfakes", mask=mask, **fields)


class Tilted(OneFace):
    """A face that is turned, so that a crop is not upright."""

    def detect(self, image: Any) -> Any:
        [face] = super().detect(image)
        centre = face.landmarks.mean(axis=0)
        turn = np.array([[np.cos(0.4), -np.sin(0.4)], [np.sin(0.4), np.cos(0.4)]])
        points = ((face.landmarks - centre) @ turn.T + centre).astype(np.float32)
        return [type(face)(face.box, points, face.score)]


def overlap(mask: np.ndarray, bright: np.ndarray) -> float:
    return float((mask & bright).sum() / (mask | bright).sum())


@pytest.mark.parametrize("alignment", ["similarity", "box"])
def test_a_mask_lies_where_its_crop_is_forged(tmp_path: Path, alignment: Any) -> None:
    settings = Settings(
        num_frames=4, crop_size=64, alignment=alignment, masks=True, image_format="png"
    )
    extraction = extract_video(forged(tmp_path), settings, Tilted())
    path = tmp_path / "videos" / "x.npz"
    extraction.save(path)
    assert not extraction.problem and Extraction.load(path).masks == extraction.masks
    pack([path], tmp_path, name="t", crop_size=64, file_format="array_record", masks=True)
    source = RecordSource(tmp_path, "train")
    assert source.fields == ("mask", "landmarks", "box")
    for example in source.read(np.arange(4), ["mask"]):
        bright = example.image.mean(axis=2) > 120
        assert set(np.unique(example.mask)) == {0, 255} and example.landmarks is None
        assert 0.05 < bright.mean() < 0.9
        assert overlap(example.mask > 0, bright) > 0.93
        # A pixel off would be seen.
        shifted = np.roll(example.mask > 0, 2, axis=1)
        assert overlap(shifted, bright) < overlap(example.mask > 0, bright)


def test_outside_the_frame_nothing_is_forged(tmp_path: Path) -> None:
    class Corner(OneFace):
        def detect(self, image: Any) -> Any:
            [face] = super().detect(image)
            return [type(face)(face.box - 40, face.landmarks, face.score)]

    white = [np.full((96, 128, 3), 255, np.uint8)] * 4
    clip = write_clip(tmp_path / "a.mp4", 4)
    fake = video(clip, 1, mask=write_video(tmp_path / "m.mp4", white))
    settings = Settings(num_frames=2, crop_size=64, alignment="box", masks=True)
    extraction = extract_video(fake, settings, Corner())
    mask = cv2.imdecode(np.frombuffer(extraction.masks[0], np.uint8), cv2.IMREAD_GRAYSCALE)
    assert mask[0].max() == 0 and mask[-1, -1] == 255


def test_crops_that_are_whole_images_have_masks_too(tmp_path: Path) -> None:
    settings = Settings(num_frames=4, crop_size=48, detector="none", masks=True)
    extraction = extract_video(forged(tmp_path), settings, OneFace())
    mask = cv2.imdecode(np.frombuffer(extraction.masks[0], np.uint8), cv2.IMREAD_GRAYSCALE)
    assert mask.shape == (48, 48) and 0.02 < (mask > 0).mean() < 0.3


def test_a_real_video_needs_no_mask(tmp_path: Path) -> None:
    extraction = extract_video(video(write_clip(tmp_path / "a.mp4", 8)), SETTINGS, OneFace())
    masks = [cv2.imdecode(np.frombuffer(m, np.uint8), 0) for m in extraction.masks]
    assert len(masks) == 4 and not np.any(masks) and not extraction.problem


def test_frames_that_a_shorter_mask_has_not_are_left_out_and_told(tmp_path: Path) -> None:
    extraction = extract_video(forged(tmp_path, masks=12), SETTINGS, OneFace())
    assert list(extraction.frame) == [2, 7] and len(extraction.masks) == 2
    assert "2 frames left out" in extraction.problem and "ends early" in extraction.problem


@pytest.mark.parametrize(
    ("spoil", "problem"),
    [
        (lambda path: path.unlink(), "no mask: no such file"),
        (lambda path: path.write_bytes(b""), "no mask: .* is empty"),
        (lambda path: path.write_bytes(b"text" * 99), "no mask: .* is not a video"),
        (lambda path: write_video(path, [patch(0, 255)[:64]] * 20), "128×64 pixels, the video 128"),
    ],
)
def test_a_mask_that_cannot_be_used_is_a_failure(tmp_path: Path, spoil: Any, problem: Any) -> None:
    fake = forged(tmp_path)
    spoil(fake.mask)
    extraction = extract_video(fake, SETTINGS, OneFace())
    assert not extraction.crops and not extraction.masks
    with pytest.raises(AssertionError, match=problem):
        raise AssertionError(extraction.problem)


def test_masks_as_a_folder_of_images_go_by_their_numbers(tmp_path: Path) -> None:
    fake = forged(tmp_path)
    folder = tmp_path / "masks" / "folder"
    folder.mkdir()
    for number in range(20):
        if number != 7:
            cv2.imwrite(str(folder / f"{number:03}.png"), patch(number, 255))
    by_video = extract_video(fake, SETTINGS, OneFace())
    by_folder = extract_video(
        video(fake.path, 1, subset="Deepfakes", mask=folder), SETTINGS, OneFace()
    )
    assert list(by_video.frame) == [2, 7, 12, 17] and list(by_folder.frame) == [2, 12, 17]
    for row, other in ((0, 0), (2, 1)):
        first, second = (
            cv2.imdecode(np.frombuffer(m, np.uint8), cv2.IMREAD_GRAYSCALE)
            for m in (by_video.masks[row], by_folder.masks[other])
        )
        assert (first != second).mean() < 0.01


def test_only_with_masks_do_files_have_other_names(tmp_path: Path) -> None:
    v = video(tmp_path / "a.mp4")
    plain = Settings(num_frames=4, crop_size=64)
    assert "masks" not in json.loads(plain.as_text())
    assert extraction_path(tmp_path, v, plain) != extraction_path(tmp_path, v, SETTINGS)


@pytest.fixture
def ffpp(tmp_path: Path) -> Any:
    """One pair in the test split; Deepfakes with masks but for one, whose turn comes later."""
    root = tmp_path / "ff"
    (root / "splits").mkdir(parents=True)
    for split in SPLITS:
        pairs = [["000", "001"]] if split == "test" else []
        (root / "splits" / f"{split}.json").write_text(json.dumps(pairs))
    for name in ("000", "001"):
        write_clip(root / f"original_sequences/youtube/c23/videos/{name}.mp4", 20)
    folder = root / "manipulated_sequences/Deepfakes"
    for name in ("000_001", "001_000"):
        write_clip(folder / f"c23/videos/{name}.mp4", 20)
    write_video(folder / "masks/videos/000_001.mp4", [patch(i, 255) for i in range(20)])
    (folder / "masks/videos/001_000.mp4").touch()  # as a broken download leaves it
    return root


def test_from_a_data_set_with_masks_to_records(
    ffpp: Any, tmp_path: Path, fake_workers: Any
) -> None:
    out = tmp_path / "out"
    options = {"settings": SETTINGS, "options": {"manipulations": ("Deepfakes",)}}
    report = prepare("ffpp", ffpp, out, **options)
    assert report.faces == 12 and [v.video_id for v, _ in report.failures] == ["001_000"]
    [row] = csv.DictReader(open(out / "failures.csv"))
    assert row["problem"].startswith("no mask: ") and "masks/videos/001_000.mp4" in row["problem"]
    coverage = json.loads((out / "coverage.json").read_text())
    assert not coverage["without_face"]
    assert [v["video_id"] for v in coverage["without_mask"]] == ["001_000"]
    source = RecordSource(out, "test")
    examples = source.read(np.arange(len(source)), ["mask"])
    assert all(example.mask.any() == (example.label == 1) for example in examples)
    # Once the mask is there, the same command takes the video; the others' files stay.
    kept = {p: p.stat().st_mtime_ns for p in (out / "videos").iterdir()}
    masks = ffpp / "manipulated_sequences/Deepfakes/masks/videos"
    (masks / "001_000.mp4").write_bytes((masks / "000_001.mp4").read_bytes())
    report = prepare("ffpp", ffpp, out, **options)
    assert report.faces == 16 and not report.failures
    assert all(p.stat().st_mtime_ns == time for p, time in kept.items())
    assert len(RecordSource(out, "test")) == 16
    assert "without_mask" not in json.loads((out / "coverage.json").read_text())


def test_the_records_masks_read_without_our_code(tmp_path: Path) -> None:
    path = tmp_path / "videos" / "x.npz"
    extract_video(forged(tmp_path), SETTINGS, OneFace()).save(path)
    build = pack([path], tmp_path, name="t", crop_size=64, file_format="array_record", masks=True)
    script = (
        "import sys, tensorflow_datasets as tfds\n"
        f"s = tfds.builder_from_directory({str(build)!r}).as_data_source(split='train')\n"
        "m = s[0]['mask']; print(m.shape, m.dtype, m.max())\n"
        "assert 'data_pipeline' not in sys.modules\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd="/", check=False
    )
    assert done.stdout.strip() == "(64, 64, 1) uint8 255", done.stderr


def test_a_data_set_without_masks_says_so_before_any_work(
    ffpp: Any, tmp_path: Path, fake_workers: Any
) -> None:
    root = tmp_path / "own"
    write_clip(root / "real" / "a.mp4", 4)
    write_clip(root / "fake" / "b.mp4", 4)
    with pytest.raises(PrepareError, match=r"'folder' has no masks .* run without --masks"):
        prepare("folder", root, tmp_path / "out", settings=SETTINGS)
    (ffpp / "manipulated_sequences/Deepfakes/masks/videos/000_001.mp4").write_bytes(b"")
    with pytest.raises(PrepareError, match=r"not one of 2 fakes .*000_001\.mp4: fetch the masks"):
        options = {"manipulations": ("Deepfakes",)}
        prepare("ffpp", ffpp, tmp_path / "out", settings=SETTINGS, options=options)
    assert not list((tmp_path / "out").rglob("*.npz"))


def test_records_without_masks_say_what_they_hold(tmp_path: Path) -> None:
    from records import write_records

    source = RecordSource(write_records(tmp_path), "train")
    with pytest.raises(DataError, match=r"(?s)no mask in the records.*image, label.*--masks"):
        source.read(np.array([0]), ["mask"])
    with pytest.raises(DataError, match=r"no field 'depth' .* there are: mask, landmarks"):
        source.read(np.array([0]), ["depth"])


def test_the_embedded_data_as_folders_has_masks(tmp_path: Path, fake_workers: Any) -> None:
    settings = Settings(detector="none", num_frames=2, crop_size=48, masks=True)
    options = {"identities": 2, "size": 48}
    listing = open_data_set("synthetic", **options).list(
        tmp_path / "root", compression="", splits=("train",)
    )
    assert all((v.mask is not None) == (v.label == 1) for v in listing.present)
    prepare(
        "synthetic",
        tmp_path / "root",
        tmp_path / "out",
        settings=settings,
        options=options,
        splits=("train",),
    )
    source = RecordSource(tmp_path / "out", "train")
    assert source.fields == ("mask",)  # of images that were crops before no landmarks are known
    for example in source.read(np.arange(len(source)), ["mask"]):
        assert example.mask.any() == (example.label == 1)
    assert read_images(source)[0].shape == (48, 48, 3)
