"""Every data set in its official layout, and the traps that each of them sets."""

from __future__ import annotations

import errno
import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import trees
from videos import write_clip

from data_pipeline.datasets import DATA_SETS, SPLITS, DataSetError, open_data_set, options_of
from data_pipeline.datasets.folder import write_test_list
from data_pipeline.datasets.leaks import find_leaks
from data_pipeline.detectors.none import WholeImage
from data_pipeline.extract.crops import Settings, extract_video


def listed(
    tree: Any, name: Any, *, compression: str = "c23", splits: Any = SPLITS, **options: Any
) -> Any:
    return open_data_set(name, **options).list(tree.root, compression=compression, splits=splits)


def counts(listing: Any) -> dict[tuple[str, str, int], int]:
    return dict(Counter((v.split, v.subset, v.label) for v in listing.present))


@pytest.mark.parametrize("compression", ["raw", "c0", "c40"])
def test_ffpp_in_every_compression_and_manipulation(tmp_path: Path, compression: Any) -> None:
    tree = trees.ffpp(tmp_path / "ff", "c0" if compression == "raw" else compression)
    found = listed(tree, "ffpp", compression=compression, manipulations=trees.MANIPULATIONS)
    assert not found.missing and len(found.present) == 3 * (2 + 5 * 2)
    assert {v.compression for v in found.present} == {"raw" if compression == "c0" else compression}
    assert len({v.identity for v in found.present}) == len(found.present)
    fake = next(v for v in found.present if v.video_id == "005_004")
    assert (fake.original, fake.people, fake.split) == ("005", ("005", "004"), "test")


def test_ffpp_as_extracted_frames_and_with_masks(tmp_path: Path) -> None:
    tree = trees.ffpp(tmp_path / "ff", "c40", manipulations=("Deepfakes",))
    tree.images("original_sequences/youtube/c23/frames/000", ("000.png", "002.png", "010.png"))
    tree.videos("manipulated_sequences/Deepfakes/masks/videos/000_001.mp4")
    found = listed(tree, "ffpp", compression="c23", manipulations=("Deepfakes",))
    [frames] = found.present
    settings = Settings(detector="none", num_frames=2, crop_size=32)
    extraction = extract_video(frames, settings, WholeImage())
    assert list(extraction.frame) == [0, 10]  # 002 comes before 010, and numbers are the names'
    fake = next(v for v in found.missing if v.video_id == "000_001")
    assert fake.mask is not None and fake.mask.is_file()


def test_ffpp_with_deepfakedetection(tmp_path: Path) -> None:
    tree = trees.ffpp(tmp_path / "ff", manipulations=())
    dfd = trees.deepfakedetection(tmp_path / "dfd")
    for folder in ("original_sequences/actors", "manipulated_sequences/DeepFakeDetection"):
        (tree.root / folder).parent.mkdir(exist_ok=True)
        (tree.root / folder).symlink_to(dfd.root / folder)
    found = listed(tree, "ffpp", manipulations=("DeepFakeDetection",))
    assert {v.dataset for v in found.present} == {"ffpp", "deepfakedetection"}
    with pytest.raises(DataSetError, match="no manipulation FaceMorph; there are Deepfakes"):
        listed(tree, "ffpp", manipulations=("FaceMorph",))


def test_deepfakedetection_keeps_actors_apart(tmp_path: Path) -> None:
    tree = trees.deepfakedetection(tmp_path / "dfd")
    found = listed(tree, "deepfakedetection")
    assert counts(found) == {
        ("train", "actors", 0): 20,
        ("train", "DeepFakeDetection", 1): 15,
        ("val", "actors", 0): 4,
        ("test", "actors", 0): 4,
        ("test", "DeepFakeDetection", 1): 1,
    }
    assert "11 fakes are left out" in found.notes[0]
    everything = listed(tree, "deepfakedetection", protocol="test")
    assert {v.split for v in everything.present} == {"test"} and len(everything.present) == 55


@pytest.mark.parametrize("name", ["celeb_df_v1", "celeb_df_v2"])
def test_celeb_df_takes_its_inverted_list(tmp_path: Path, name: Any) -> None:
    tree = trees.celeb_df(tmp_path / "celeb")
    found = listed(tree, name)
    test = {(v.subset, v.video_id, v.label) for v in found.present if v.split == "test"}
    assert test == {
        ("Celeb-real", "id0_0000", 0),
        ("Celeb-synthesis", "id0_id1_0000", 1),
        ("YouTube-real", "00000", 0),
    }
    assert [v.video_id for v in found.missing] == ["00099"]
    # Drawn splits share no person; the extra videos/ level was looked into.
    train, val = ({p for v in found.present if v.split == s for p in v.people} for s in SPLITS[:2])
    assert train and val and not train & val
    assert any(v.video_id == "id0_0001" for v in found.present)
    assert any("the release has" in note for note in found.notes)
    apart = listed(tree, name, apart=True)
    tested = {p for v in apart.present if v.split == "test" for p in v.people}
    assert not tested & {p for v in apart.present if v.split != "test" for p in v.people}


def test_a_celeb_df_list_with_turned_labels_is_refused(tmp_path: Path) -> None:
    tree = trees.celeb_df(tmp_path / "celeb")
    tree.text("List_of_testing_videos.txt", "0 Celeb-real/id0_0000.mp4\n")
    with pytest.raises(DataSetError, match=r"line 1: Celeb-real with 0.*1 is real"):
        listed(tree, "celeb_df_v2")
    tree.text("List_of_testing_videos.txt", "1 ../../etc/id0_0000.mp4\n")
    with pytest.raises(DataSetError, match="line 1"):
        listed(tree, "celeb_df_v2")


def test_dfdc_by_parts_and_its_test_set(tmp_path: Path) -> None:
    tree = trees.dfdc(tmp_path / "dfdc")
    found = listed(tree, "dfdc")
    assert counts(found) == {
        **{(split, "train_parts", label): 1 for split in SPLITS for label in (0, 1)},
        ("test", "test", 0): 1,
    }
    assert [v.video_id for v in found.missing] == ["y"]
    assert "no entry for them: unlisted" in found.notes[0]
    fake = next(v for v in found.present if v.video_id == "b")
    assert (fake.original, fake.split) == ("a", "train")
    tree.json("dfdc_train_part_0/metadata.json", {"a.mp4": {"label": "TRUE"}})
    with pytest.raises(DataSetError, match=r"label of a.mp4 is 'TRUE', not REAL or FAKE"):
        listed(tree, "dfdc")
    (tree.root / "dfdc_train_part_0/metadata.json").write_text('{"a.mp4": {"lab')
    with pytest.raises(DataSetError, match=r"metadata.json is not valid JSON"):
        listed(tree, "dfdc")


def test_a_dfdc_fake_goes_where_its_original_is(tmp_path: Path) -> None:
    tree = trees.dfdc(tmp_path / "dfdc")
    tree.json("dfdc_train_part_1/metadata.json", {"z.mp4": {"label": "FAKE", "original": "e.mp4"}})
    tree.videos("dfdc_train_part_1/z.mp4")
    found = listed(tree, "dfdc")
    assert next(v for v in found.present if v.video_id == "z").split == "test"  # e is in part 40


def test_dfdc_preview_by_actors(tmp_path: Path) -> None:
    tree = trees.dfdc_preview(tmp_path / "preview")
    found = listed(tree, "dfdc_preview", val_share=0.4, seed=1)
    people = {s: {p for v in found.present if v.split == s for p in v.people} for s in SPLITS}
    assert people["test"] == {"6", "7"} and people["val"]
    assert not people["train"] & people["val"]


def test_deeperforensics_takes_its_reals_from_ffpp(tmp_path: Path) -> None:
    tree = trees.deeperforensics(tmp_path / "deeper")
    found = listed(tree, "deeperforensics")
    assert not found.missing and len(found.present) == 6  # a name that is listed twice counts once
    test = {(v.subset, v.video_id, v.label) for v in found.present if v.split == "test"}
    assert test == {("youtube", "004", 0), ("end_to_end", "004_M104", 1)}


def test_wilddeepfake_archives_and_folders(tmp_path: Path) -> None:
    tree = trees.wilddeepfake(tmp_path / "wild")
    found = listed(tree, "wilddeepfake", val_share=0.0)
    assert counts(found) == {
        (split, subset, label): 2
        for split in ("train", "test")
        for subset, label in (("real", 0), ("fake", 1))
    }
    settings = Settings(detector="none", num_frames=8, crop_size=32)
    by_kind = {v.path.suffix: extract_video(v, settings, WholeImage()) for v in found.present}
    assert list(by_kind[".gz"].frame) == [3, 20]
    assert list(by_kind[""].frame) == [1, 5, 12]


def test_ffiw_numbers_begin_anew_in_each_folder(tmp_path: Path) -> None:
    found = listed(trees.ffiw(tmp_path / "ffiw"), "ffiw")
    assert len({v.identity for v in found.present}) == len(found.present) == 8
    assert {(v.subset, v.label) for v in found.present} == {("source", 0), ("target", 1)}


def test_deepfakebench_lists_written_on_windows(tmp_path: Path) -> None:
    tree = trees.deepfakebench(tmp_path / "bench")
    found = listed(tree, "deepfakebench")
    assert not found.missing
    assert counts(found) == {
        ("train", "FF-real", 0): 1,
        ("train", "FF-DF", 1): 1,
        ("test", "FF-real", 0): 1,
        ("test", "FF-DF", 1): 1,
        ("test", "CelebDFv2_real", 0): 1,
        ("test", "CelebDFv2_fake", 1): 1,
    }
    assert "2 videos are named in several splits" in found.notes[0]
    fake = next(v for v in found.present if v.video_id == "004_005")
    assert fake.original == "004" and len(list(fake.path.iterdir())) == 3
    assert len(listed(tree, "deepfakebench", lists=("FF-DF",)).present) == 4
    with pytest.raises(DataSetError, match=r"no DFDC among .*Celeb-DF-v2, FF-DF"):
        listed(tree, "deepfakebench", lists=("DFDC",))
    tree.json("dataset_json/FF-DF.json", [1])
    with pytest.raises(DataSetError, match="the file is list"):
        listed(tree, "deepfakebench")


def test_df40_takes_splits_and_reals_from_its_sources(tmp_path: Path) -> None:
    found = listed(trees.df40(tmp_path / "df40"), "df40")
    fakes = {(v.split, v.subset, v.video_id) for v in found.present if v.label}
    assert fakes == {("test", "simswap_ff", "004_005"), ("test", "simswap_cdf", "id0_id1_0000")}
    assert "1 videos of simswap/ff are left out" in found.notes[0]
    assert {v.subset for v in found.present if not v.label} >= {"real_ff", "Celeb-real"}


def test_a_folder_of_ones_own_draws_the_same_split_everywhere(tmp_path: Path) -> None:
    tree = trees.folder(tmp_path / "own")
    first = {v.video_id: v.split for v in listed(tree, "folder").present}
    assert len(first) == 40 and len(set(first.values())) == 3
    (tree.root / "fake" / 'say "0".mp4').unlink()
    later = {v.video_id: v.split for v in listed(tree, "folder").present}
    assert later.items() <= first.items()  # what is there decides nothing


def test_names_may_be_counted_anew_in_each_split(tmp_path: Path) -> None:
    tree = trees.Tree(tmp_path / "own")
    for split in ("train", "test"):
        tree.images(f"{split}/real", ("1.jpg",))
        tree.images(f"{split}/fake/clip", ("1.jpg",))
    videos = listed(tree, "folder").present
    ids = {(v.video_id, v.source_id, v.original) for v in videos if not v.label}
    assert ids == {("train/1",) * 3, ("test/1",) * 3}
    assert {v.source_id for v in videos if v.label} == {"train/clip", "test/clip"}
    assert find_leaks(videos) == []


def test_a_folder_of_frames_is_one_video(tmp_path: Path) -> None:
    tree = trees.Tree(tmp_path / "own")
    tree.images("real/clip", ("1.jpg", "2.jpg"))
    tree.images("fake/clip", ("1.jpg", "2.jpg"))
    assert {v.path.name for v in listed(tree, "folder", frames=True).present} == {"clip"}


def test_links_to_folders_are_followed_but_not_in_circles(tmp_path: Path) -> None:
    store, tree = trees.Tree(tmp_path / "store"), trees.Tree(tmp_path / "own")
    store.videos("deep/a.mp4", "twice/b.mp4")
    tree.videos("fake/c.mp4")
    (tree.root / "real").symlink_to(store.root)
    (store.root / "again").symlink_to(store.root / "twice")
    (store.root / "deep" / "back").symlink_to(store.root)
    ids = sorted(v.video_id for v in listed(tree, "folder").present)
    assert ids == ["again/b", "c", "deep/a"]


def test_a_folder_that_may_not_be_read_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = trees.Tree(tmp_path / "own")
    tree.videos("real/a.mp4", "real/closed/b.mp4", "fake/c.mp4")
    scandir = os.scandir

    def guarded(path: Any) -> Any:
        if Path(path).name == "closed":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr("os.scandir", guarded)
    with pytest.raises(DataSetError, match=r"cannot read the folder .*closed \(Permission denied"):
        listed(tree, "folder")


def test_a_csv_with_everything(tmp_path: Path) -> None:
    write_clip(tmp_path / "a b.mp4", 3)
    path = tmp_path / "list.csv"
    path.write_text(
        "path,label,video,split,subset,compression,original,people\n"
        "a b.mp4,fake,clip,test,mine,c40,real1,anna ben\n"
    )
    [v] = open_data_set("folder").list(path, compression="", splits=SPLITS).present
    assert (v.subset, v.compression, v.original, v.people) == (
        "mine", "c40", "real1", ("anna", "ben")
    )  # fmt: skip
    path.write_text("path,label\na b.mp4,0\na b.mp4,1\n")
    with pytest.raises(DataSetError, match=r"line 3: .*already on line 2"):
        open_data_set("folder").list(path, compression="", splits=SPLITS)


@pytest.mark.parametrize("name", ["a\u2028b", "a\x0cb", "a\x85b", "a\nb", "a\rb"])
def test_a_csv_names_files_whatever_they_are_called(tmp_path: Path, name: str) -> None:
    video = write_clip(tmp_path / "clip.mp4", 3).rename(tmp_path / f"{name}.mp4")
    write_test_list(tmp_path / "list.csv", [(video, 0, name, "", "", "", ())])
    found = open_data_set("folder").list(tmp_path / "list.csv", compression="", splits=SPLITS)
    assert [(v.path, v.video_id) for v in found.present] == [(video, name)]
    assert found.missing == ()


def test_the_embedded_set_goes_the_way_of_every_other(tmp_path: Path) -> None:
    data_set = open_data_set("synthetic", identities=3, size=32)
    found = data_set.list(tmp_path / "drawn", compression="", splits=("train", "test"))
    assert len(found.present) == 2 * 3 * 2
    again = data_set.list(tmp_path / "drawn", compression="", splits=("train", "test"))
    assert again == found
    fake = next(v for v in found.present if v.label)
    assert fake.original in {v.video_id for v in found.present if not v.label}
    settings = Settings(detector="none", num_frames=8, crop_size=32)
    assert list(extract_video(fake, settings, WholeImage()).frame) == [0, 1, 2, 3]
    train, test = (
        {p for v in found.present if v.split == s for p in v.people} for s in ("train", "test")
    )
    assert not train & test


def test_a_full_disk_leaves_no_empty_clips(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, *_: Any) -> None:
        path.touch()
        raise OSError(errno.ENOSPC, "No space left on device")

    data_set = open_data_set("synthetic", identities=3, size=32)
    with monkeypatch.context() as patch, pytest.raises(OSError, match="No space left"):
        patch.setattr("pathlib.Path.write_bytes", full)
        patch.setattr("cv2.imwrite", lambda path, _: Path(path).touch() or False)
        data_set.list(tmp_path, compression="", splits=("train",))
    assert [p for p in tmp_path.rglob("*") if not p.is_dir()] == []
    [first, *_] = data_set.list(tmp_path, compression="", splits=("train",)).present
    assert all(frame.stat().st_size for frame in first.path.iterdir())


@pytest.mark.parametrize("name", sorted(set(DATA_SETS) - {"folder", "synthetic"}))
def test_another_folder_is_told_from_the_data_set(tmp_path: Path, name: Any) -> None:
    (tmp_path / "photos").mkdir()
    with pytest.raises(DataSetError) as raised:
        open_data_set(name).list(tmp_path, compression="c23", splits=SPLITS)
    assert str(tmp_path) in str(raised.value)


def test_options_are_checked() -> None:
    assert options_of("ffpp")["manipulations"][0] == "Deepfakes"
    with pytest.raises(DataSetError, match="no option 'method'; it has: manipulations"):
        open_data_set("ffpp", method="x")
    with pytest.raises(DataSetError, match="manipulations of data set 'ffpp' is a tuple"):
        open_data_set("ffpp", manipulations="Deepfakes")
    with pytest.raises(DataSetError, match="unknown data set 'imagenet'; available: ffpp"):
        open_data_set("imagenet")


def test_the_shared_copies_list_as_they_should(shared_data: Path) -> None:
    found = open_data_set("ffpp").list(shared_data / "ffpp", compression="c23", splits=SPLITS)
    assert {v.video_id for v in found.present} == {
        "004", "519", "634", "004_982", "519_515", "634_660", "750_743"
    }  # fmt: skip
    assert len(found.present) + len(found.missing) == 1000 + 4000
    dfdc = open_data_set("dfdc").list(shared_data / "dfdc", compression="", splits=SPLITS)
    metadata = next((shared_data / "dfdc").rglob("metadata.json"))
    assert len(dfdc.present) + len(dfdc.missing) == len(json.loads(metadata.read_text()))
