"""Portraits with a manifest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from videos import jpeg

from data_pipeline import check
from data_pipeline.datasets import SPLITS, DataSetError, Video, open_data_set

GROUPS = {"a": 60, "b": 40, "small": 60, "far": 9}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Groups of two portraits a person, of which the second file of each is not there."""
    import numpy as np

    image = jpeg(np.full((16, 16, 3), 90, np.uint8))
    lines = ["path,group,person,licence"]
    for group, count in GROUPS.items():
        (tmp_path / group).mkdir()
        for i in range(count):
            (tmp_path / group / f"{i}.0.jpg").write_bytes(image)
            lines += [f"{group}/{i}.{k}.jpg,{group},{group}:{i},CC0" for k in range(2)]
    (tmp_path / "manifest.csv").write_text("\n".join(lines))
    return tmp_path


def listed(root: Path, splits: tuple[str, ...] = SPLITS, **options: Any) -> list[Video]:
    data_set = open_data_set("portraits", **options)
    return list(data_set.list(root, compression="c23", splits=splits).present)


OPTIONS = {
    "train_groups": ("a", "b"),
    "val_groups": ("small",),
    "test_groups": ("far", "small"),
}


def test_groups_are_in_the_splits_that_name_them(root: Path) -> None:
    videos = listed(root, **OPTIONS)
    assert len(videos) == sum(GROUPS.values())
    assert {v.subset: set() for v in videos} == {group: set() for group in GROUPS}
    where = {group: {v.split for v in videos if v.subset == group} for group in GROUPS}
    assert where == {"a": {"train"}, "b": {"train"}, "small": {"val", "test"}, "far": {"test"}}
    halves = [sum(v.subset == "small" and v.split == s for v in videos) for s in ("val", "test")]
    assert min(halves) > 15
    video = next(v for v in videos if v.video_id == "far/3.0")
    assert video.label == 0 and video.people == ("far:3",) and video.source_id == "far:3"
    assert video.original == "far/3.0" and video.path == root / "far" / "3.0.jpg"
    assert {v.split for v in listed(root, ("val",), **OPTIONS)} == {"val"}


def test_a_person_is_in_one_split_whatever_the_number_of_portraits(root: Path) -> None:
    listing = open_data_set("portraits").list(root, compression="", splits=SPLITS)
    splits: dict[str, set[str]] = {}
    for video in (*listing.present, *listing.missing):
        splits.setdefault(video.people[0], set()).add(video.split)
    assert all(len(own) == 1 for own in splits.values())
    counts = {split: sum(own == {split} for own in splits.values()) for split in SPLITS}
    assert 0.7 < counts["train"] / len(splits) < 0.9
    assert len(listing.missing) == len(listing.present)
    again = {v.identity: v.split for v in listed(root)}
    other = {v.identity: v.split for v in listed(root, seed=1)}
    assert again == {v.identity: v.split for v in listed(root)} and again != other


def test_it_is_checked_as_every_data_set(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    groups = ["--train_groups=a,b", "--val_groups=small", "--test_groups=far,small"]
    assert check.COMMAND(["--dataset=portraits", f"--root={root}", *groups]) == 0
    assert "far" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path,group\na.jpg,x", "needs the columns path, group, person; it has path, group"),
        ("path,group,person\na.jpg,x,", "line 2: no person"),
        ("path,group,person\na.jpg,x,p\na.png,x,q", r"line 3: a\.png is on line 2 already"),
        ("path,group,person\n../a.jpg,x,p", "names '../a.jpg', which is no file below"),
    ],
)
def test_a_manifest_that_is_none_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "manifest.csv").write_text(text)
    with pytest.raises(DataSetError, match=message):
        listed(tmp_path)


def test_what_is_missing_is_said(root: Path, tmp_path: Path) -> None:
    with pytest.raises(DataSetError, match=r"no group nowhere; it has: a, b, far, small"):
        listed(root, test_groups=("nowhere",))
    with pytest.raises(DataSetError, match=r"no .*manifest\.csv: --root is a folder"):
        listed(tmp_path / "none")
