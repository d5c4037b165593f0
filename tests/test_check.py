"""What `python -m data_pipeline.check` finds and how it ends."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import trees

from data_pipeline.check import CLEAN, LEAKING, check
from data_pipeline.datasets import DataSetError, open_data_set


def test_a_whole_data_set_is_clean(tmp_path: Path) -> None:
    report, status = check(open_data_set("ffpp"), trees.ffpp(tmp_path / "ff").root)
    assert status == CLEAN and "30 of 30 videos are there" in report and "no leak" in report
    rows = [line.split() for line in report.splitlines()]
    assert ["test", "FaceSwap", "fake", "2", "0"] in rows and ["all", "30", "0"] in rows


def test_missing_videos_are_counted_and_named(tmp_path: Path) -> None:
    tree = trees.ffpp(tmp_path / "ff")
    (tree.root / "original_sequences/youtube/c23/videos/004.mp4").unlink()
    report, status = check(open_data_set("ffpp"), tree.root)
    assert status == CLEAN and "29 of 30" in report and "youtube/c23/videos/004.mp4" in report


def test_a_pair_in_two_splits_leaks_video_footage_and_people(tmp_path: Path) -> None:
    tree = trees.ffpp(tmp_path / "ff")
    tree.json("splits/test.json", [["000", "001"]])
    report, status = check(open_data_set("ffpp"), tree.root)
    assert status == LEAKING
    for kind in ("videos in several splits", "2 originals in", "2 people in"):
        assert kind in report
    assert "Deepfakes/000_001 in train, Deepfakes/000_001 in test" in report


def test_one_person_in_two_splits_leaks(tmp_path: Path) -> None:
    tree = trees.ffpp(tmp_path / "ff")
    tree.json("splits/test.json", [["004", "001"]])
    report, status = check(open_data_set("ffpp"), tree.root)
    assert status == LEAKING and "LEAK: 1 person in several splits" in report


def test_a_linked_file_is_the_same_video(tmp_path: Path) -> None:
    tree = trees.Tree(tmp_path / "own")
    tree.videos("train/real/a.mp4", "test/real/b.mp4")
    os.symlink(tree.root / "train/real/a.mp4", tree.root / "test/real/c.mp4")
    report, status = check(open_data_set("folder"), tree.root)
    assert status == LEAKING and "a in train" in report and "c in test" in report


def test_what_an_official_split_shares_is_a_note_unless_strict(tmp_path: Path) -> None:
    root = trees.celeb_df(tmp_path / "celeb").root
    report, status = check(open_data_set("celeb_df_v2"), root)
    assert status == CLEAN and "note: 2 people in several splits" in report
    report, status = check(open_data_set("celeb_df_v2"), root, strict=True)
    assert status == LEAKING and "LEAK: 2 people" in report


def test_an_empty_root_is_an_error(tmp_path: Path) -> None:
    tree = trees.ffpp(tmp_path / "ff")
    with pytest.raises(DataSetError, match=r"none of 30 videos is below .*looked for"):
        check(open_data_set("ffpp"), tree.root, compression="c40")


def run(*args: Any) -> Any:
    command = [sys.executable, "-m", "data_pipeline.check", *args]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_command_and_its_statuses(tmp_path: Path) -> None:
    tree = trees.ffpp(tmp_path / "a ' b")
    done = run("--dataset=ffpp", f"--root={tree.root}", "--manipulations=FaceShifter")
    assert done.returncode == 0 and "12 of 12 videos are there" in done.stdout
    tree.json("splits/val.json", [["000", "001"]])
    assert run("--dataset=ffpp", f"--root={tree.root}").returncode == 2
    failed = run("--dataset=ffpp", f"--root={tmp_path}")
    assert failed.returncode == 1 and failed.stderr.startswith("error: no ")
    assert "Traceback" not in failed.stderr
