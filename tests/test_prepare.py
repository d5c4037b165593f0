"""From videos to records, and everything that can be wrong with them."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from preparing import SETTINGS, OneFace, fake_workers, video
from records import read_images, write_extraction
from test_detectors import retinaface_file
from videos import jpeg, moving_square, write_clip

from data_pipeline.datasets import SPLITS, DataSetError, open_data_set
from data_pipeline.datasets.folder import write_test_list
from data_pipeline.detectors import DetectorError, create_detector
from data_pipeline.extract.crops import Settings, extract_video, extraction_path
from data_pipeline.extract.extraction import Extraction
from data_pipeline.files import locked
from data_pipeline.pack import pack
from data_pipeline.prepare import COMMAND, PrepareError, prepare
from data_pipeline.training.sources import DataError, RecordSource, find_build

__all__ = ["fake_workers"]  # a fixture


@pytest.fixture
def ffpp(tmp_path: Path) -> Any:
    """A tiny FaceForensics++: one pair a split, two manipulations there, two not."""
    root = tmp_path / "ff ' ü"
    (root / "splits").mkdir(parents=True)
    for split, pair in zip(SPLITS, (("000", "001"), ("002", "003"), ("004", "005")), strict=True):
        (root / "splits" / f"{split}.json").write_text(json.dumps([pair]))
        for own, other in (pair, pair[::-1]):
            write_clip(root / f"original_sequences/youtube/c23/videos/{own}.mp4", 10)
            for name in ("Deepfakes", "FaceSwap"):
                folder = root / f"manipulated_sequences/{name}/c23/videos"
                write_clip(folder / f"{own}_{other}.mp4", 10)
    return root


def test_ffpp_lists_its_official_splits(ffpp: Any) -> None:
    listing = open_data_set("ffpp").list(ffpp, compression="c23", splits=SPLITS)
    assert len(listing.present) == 18 and len(listing.missing) == 12
    test = [v for v in listing.present if v.split == "test"]
    assert {(v.subset, v.video_id, v.source_id, v.label) for v in test} == {
        ("youtube", "004", "004", 0),
        ("youtube", "005", "005", 0),
        ("Deepfakes", "004_005", "004", 1),
        ("Deepfakes", "005_004", "005", 1),
        ("FaceSwap", "004_005", "004", 1),
        ("FaceSwap", "005_004", "005", 1),
    }
    assert len({v.identity for v in listing.present}) == 18  # names repeat across manipulations


def test_ffpp_says_what_is_wrong_with_its_root(ffpp: Any, tmp_path: Path) -> None:
    data_set = open_data_set("ffpp")
    with pytest.raises(DataSetError, match="original_sequences"):
        data_set.list(tmp_path, compression="c23", splits=SPLITS)
    with pytest.raises(DataSetError, match="raw, c0, c23, c40"):
        data_set.list(ffpp, compression="c32", splits=SPLITS)
    (ffpp / "splits" / "val.json").write_text("[1, 2]")
    with pytest.raises(DataSetError, match=r"val.json is not a list of pairs"):
        data_set.list(ffpp, compression="c23", splits=("val",))


def test_missing_videos_stop_unless_allowed(
    ffpp: Any, tmp_path: Path, fake_workers: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    with pytest.raises(PrepareError, match=r"(?s)12 of 30 videos are missing.*--allow_missing"):
        prepare("ffpp", ffpp, out, settings=SETTINGS)
    report = prepare("ffpp", ffpp, out, settings=SETTINGS, allow_missing=True)
    assert (report.videos, report.faces, report.missing) == (18, 72, 12)
    assert len((out / "missing.txt").read_text().splitlines()) == 12
    source = RecordSource(out, "test")
    assert len(source) == 24 and source.columns["label"].sum() == 16
    assert read_images(source, np.array([0]))[0].shape == (64, 64, 3)
    assert list(source.columns["frame"][:4]) == [1, 3, 6, 8]


def test_a_rerun_does_only_what_is_missing(ffpp: Any, tmp_path: Path, fake_workers: Any) -> None:
    out = tmp_path / "out"
    prepare("ffpp", ffpp, out, settings=SETTINGS, allow_missing=True)
    files = {p: p.stat().st_mtime_ns for p in (out / "videos").iterdir()}
    build = RecordSource(out, "train")._directory
    before = build.stat().st_mtime_ns
    victim = sorted(files)[3]
    prepare("ffpp", ffpp, out, settings=SETTINGS, allow_missing=True)
    assert build.stat().st_mtime_ns == before  # nothing new, nothing packed
    victim.unlink()
    prepare("ffpp", ffpp, out, settings=SETTINGS, allow_missing=True)
    after = {p: p.stat().st_mtime_ns for p in (out / "videos").iterdir()}
    assert {p for p in files if files[p] != after[p]} == {victim}


def test_other_settings_make_other_files(tmp_path: Path) -> None:
    v = video(tmp_path / "a.mp4")
    paths = {
        extraction_path(tmp_path, v, settings)
        for settings in (SETTINGS, Settings(num_frames=4, crop_size=64, alignment="box"))
    }
    assert len(paths) == 2


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda p: p.write_bytes(b""), "0 bytes"),
        (lambda p: p.write_bytes(b"text" * 99), "not a video"),
        (lambda p: None, "no such file"),
    ],
)
def test_a_bad_video_is_recorded_not_raised(tmp_path: Path, make: Any, problem: Any) -> None:
    path = tmp_path / "bad.mp4"
    make(path)
    extraction = extract_video(video(path), SETTINGS, OneFace())
    assert extraction.crops == [] and problem in extraction.problem


def test_frames_without_a_face_are_recorded(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "half.mp4", 40)
    extraction = extract_video(video(path), SETTINGS, OneFace(above=90))
    assert extraction.problem == "no face in 2 of 4 frames"
    assert len(extraction.crops) == len(extraction.frame) == 2


def test_failures_and_coverage_are_written(tmp_path: Path, fake_workers: Any) -> None:
    root = tmp_path / "own"
    write_clip(root / "real" / "good <b>.mp4", 10)
    (root / "fake").mkdir()
    (root / "fake" / "empty.mp4").write_bytes(b"")
    out = tmp_path / "out"
    report = prepare("folder", root, out, settings=SETTINGS)
    assert [v.video_id for v, _ in report.failures] == ["empty"]
    rows = list(csv.DictReader(open(out / "failures.csv")))
    assert rows[0]["video_id"] == "empty" and "0 bytes" in rows[0]["problem"]
    coverage = json.loads((out / "coverage.json").read_text())
    assert coverage["without_face"][0]["video_id"] == "empty"
    assert coverage["faces"] == 4


def test_one_run_at_a_time_writes_to_a_folder(
    ffpp: Any, tmp_path: Path, fake_workers: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    command = ["--dataset=ffpp", f"--root={ffpp}", f"--out={out}", "--allow_missing"]
    with locked(out):
        assert COMMAND(command) == 1
        assert f"{out} is in use by process {os.getpid()} on " in capsys.readouterr().err
        assert [path.name for path in out.iterdir()] == [".lock"]
    assert COMMAND(command) == 0


def test_records_of_another_split_are_not_replaced(
    ffpp: Any, tmp_path: Path, fake_workers: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    command = ["--dataset=ffpp", f"--root={ffpp}", f"--out={out}", "--allow_missing"]
    assert COMMAND([*command, "--split=train"]) == 0
    assert COMMAND([*command, "--split=test"]) == 1
    said = capsys.readouterr().err
    assert "ffpp_c23 holds train too" in said and "(--split=train --split=test)" in said
    assert len(RecordSource(out, "train"))
    assert COMMAND([*command, "--split=train", "--split=test"]) == 0
    assert len(RecordSource(out, "train")) == len(RecordSource(out, "test"))


def test_nothing_at_all_is_an_error(tmp_path: Path, fake_workers: Any) -> None:
    root = tmp_path / "own"
    (root / "real").mkdir(parents=True)
    (root / "real" / "empty.mp4").write_bytes(b"")
    with pytest.raises(PrepareError, match="not one face in 1 videos"):
        prepare("folder", root, tmp_path / "out", settings=SETTINGS)


def test_ctrl_c_has_the_status_of_other_commands(
    ffpp: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("data_pipeline.prepare.prepare", interrupted)
    assert COMMAND(["--dataset=ffpp", f"--root={ffpp}", f"--out={tmp_path / 'out'}"]) == 130
    assert "the same command continues" in capsys.readouterr().err


def test_what_was_extracted_anew_is_packed_anew(tmp_path: Path) -> None:
    path = write_extraction(tmp_path, "v", label=1, split="train", frames=2)
    options: dict[str, Any] = {"name": "t", "crop_size": 48, "file_format": "array_record"}
    build = pack([path], tmp_path, **options)
    before = (build / "packed.json").stat().st_mtime_ns
    assert pack([path], tmp_path, **options) == build
    assert (build / "packed.json").stat().st_mtime_ns == before
    write_extraction(tmp_path, "v", label=1, split="train", frames=3)
    pack([path], tmp_path, **options)
    assert len(RecordSource(build, "train")) == 3


def test_a_build_that_was_cut_off_is_no_records(tmp_path: Path) -> None:
    path = write_extraction(tmp_path, "v", label=1, split="train", frames=2)
    build = pack([path], tmp_path, name="t", crop_size=48, file_format="array_record")
    half = tmp_path / ".building-t" / "t"
    shutil.copytree(build.parent, half)
    assert find_build(tmp_path) == build
    shutil.rmtree(build)
    with pytest.raises(DataError, match="no records in"):
        find_build(tmp_path)
    assert find_build(half).parent == half  # where somebody names it


def test_names_that_are_no_utf8_come_through(tmp_path: Path) -> None:
    """As Linux lets files be called, and `os` gives their names."""
    name = b"caf\xe9".decode("utf-8", "surrogateescape")
    image = tmp_path / "own" / "real" / f"{name}.png"
    image.parent.mkdir(parents=True)
    cv2.imwrite(str(tmp_path / "a.png"), moving_square(3))
    (tmp_path / "a.png").rename(image)
    [found] = open_data_set("folder").list(tmp_path / "own", compression="", splits=SPLITS).present
    assert found.video_id == name
    path = extraction_path(tmp_path, found, SETTINGS)
    extract_video(found, SETTINGS, OneFace()).save(path)
    build = pack([path], tmp_path, name="t", crop_size=48, file_format="array_record")
    source = RecordSource(build, found.split)
    assert source.columns["video_id"].tolist() == [name]
    write_test_list(tmp_path / "list.csv", [(image, 0, name, "", "", "", ())])
    listed = open_data_set("folder").list(tmp_path / "list.csv", compression="", splits=SPLITS)
    assert [v.path for v in listed.present] == [image]


def test_other_weights_of_a_detector_make_other_files(tmp_path: Path, fake_workers: Any) -> None:
    """Those of RetinaFace, for which any file may be given."""
    one = retinaface_file(tmp_path / "one.onnx")
    other = retinaface_file(tmp_path / "other.onnx", faces=((0, 0.8),))
    write_clip(tmp_path / "own" / "real" / "a.mp4", 8)
    settings = Settings(detector="retinaface", num_frames=4, crop_size=64)
    for weights, files in ((one, 1), (other, 2), (one, 2)):
        prepare("folder", tmp_path / "own", tmp_path / "out", settings=settings, weights=weights)
        assert len(list((tmp_path / "out" / "videos").glob("*.npz"))) == files


def test_an_interrupted_save_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_clip(tmp_path / "a.mp4", 10)
    extraction = extract_video(video(path), SETTINGS, OneFace())
    monkeypatch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(OSError("disk")))
    with pytest.raises(OSError, match="disk"):
        extraction.save(tmp_path / "videos" / "a.npz")
    assert list((tmp_path / "videos").iterdir()) == []


def test_a_damaged_extraction_is_named(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    path.write_bytes(b"PK damaged")
    with pytest.raises(ValueError, match=r"x.npz is damaged"):
        Extraction.load(path)


def test_tfrecord_builds_for_other_peoples_code(tmp_path: Path) -> None:
    from records import write_extraction

    path = write_extraction(tmp_path / "videos", "v", label=1, split="val")
    build = pack([path], tmp_path, name="t", crop_size=48, file_format="tfrecord")
    assert list(build.glob("*.tfrecord*"))


def test_a_folder_by_its_names(tmp_path: Path) -> None:
    for split in ("train", "test"):
        for label in ("real", "fake"):
            folder = tmp_path / split / label / "sub"
            folder.mkdir(parents=True)
            (folder / "a.jpg").write_bytes(jpeg(moving_square(3)))
    listing = open_data_set("folder").list(tmp_path, compression="", splits=SPLITS)
    assert {(v.split, v.label, v.video_id) for v in listing.present} == {
        (split, label, f"{split}/sub/a") for split in ("train", "test") for label in (0, 1)
    }
    with pytest.raises(DataSetError, match="known endings"):
        open_data_set("folder").list(tmp_path / "train" / "real", compression="", splits=SPLITS)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file,label\na.mp4,0\n", "path and label"),
        ("path,label\na.mp4,forged\n", "line 2: label 'forged'"),
        ("path,label,split\na.mp4,real,dev\n", "split 'dev'"),
    ],
)
def test_a_csv_that_is_wrong_is_refused(tmp_path: Path, text: Any, message: Any) -> None:
    path = tmp_path / "list.csv"
    path.write_text(text)
    with pytest.raises(DataSetError, match=message):
        open_data_set("folder").list(path, compression="", splits=SPLITS)


def test_a_csv_lists_files(tmp_path: Path) -> None:
    write_clip(tmp_path / "a.mp4", 5)
    path = tmp_path / "list.csv"
    path.write_text("path,label,video,split\na.mp4,fake,clip,test\nb.mp4,0,,train\n")
    listing = open_data_set("folder").list(path, compression="", splits=SPLITS)
    assert [(v.video_id, v.label, v.split) for v in listing.present] == [("clip", 1, "test")]
    assert [v.video_id for v in listing.missing] == ["b"]


def test_detectors_say_what_they_need(tmp_path: Path) -> None:
    with pytest.raises(DetectorError, match="mtcnn, yunet"):
        create_detector("haar")
    with pytest.raises(DetectorError, match=r"retinaface needs --detector_weights=FILE\.onnx"):
        create_detector("retinaface")
    wrong = tmp_path / "w.onnx"
    wrong.write_bytes(b"x")
    with pytest.raises(DetectorError, match="SHA-256"):
        create_detector("yunet", wrong)


def test_real_video_to_records(shared_data: Path, shared_models: Path, tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "data_pipeline.prepare",
        "--dataset=ffpp",
        f"--root={shared_data / 'ffpp'}",
        f"--out={tmp_path}",
        "--detector=yunet",
        f"--detector_weights={shared_models / 'face_detection_yunet_2023mar.onnx'}",
        "--num_frames=2",
        "--crop_size=96",
        "--split=test",
    ]
    refused = subprocess.run(command, capture_output=True, text=True, check=False)
    assert refused.returncode == 1 and "698 of 700 videos are missing" in refused.stderr
    done = subprocess.run(
        [*command, "--allow_missing"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    source = RecordSource(tmp_path, "test")
    assert len(source) == 4 and set(source.columns["video_id"]) == {"634", "634_660"}
    # The same frames of a video and of the fake made of it: the same background.
    real, fake = (
        read_images(source, np.flatnonzero(source.columns["label"] == i))[0] for i in (0, 1)
    )
    assert np.abs(real[:8].astype(float) - fake[:8]).mean() < 25


def test_mtcnn_finds_the_face_where_yunet_does(shared_data: Path, shared_models: Path) -> None:
    from data_pipeline.extract.video import read_frames

    path = shared_data / "ffpp/original_sequences/youtube/c23/videos/519.mp4"
    image = read_frames(path, 8).frames[0].image
    yunet = create_detector("yunet", shared_models / "face_detection_yunet_2023mar.onnx")
    faces = [d.detect(image)[0] for d in (yunet, create_detector("mtcnn"))]
    width = faces[0].box[2] - faces[0].box[0]
    assert np.abs(faces[0].landmarks - faces[1].landmarks).max() < 0.15 * width
    assert all(f.landmarks[0, 0] < f.landmarks[1, 0] for f in faces)
