"""Records and arrays by index."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from records import read_images, write_records

from data_pipeline.extract.extraction import Extraction
from data_pipeline.training.sources import ArraySource, DataError, RecordSource


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return write_records(tmp_path_factory.mktemp("records"))


def test_records_read_by_index_with_their_columns(build: Any) -> None:
    source = RecordSource(build.parent.parent, "train")  # any folder above the build
    assert len(source) == 12
    assert list(source.columns["video_id"][::3]) == ["v0", "v1", "v2", "v3"]
    assert list(source.columns["label"][::3]) == [0, 1, 0, 1]
    assert list(source.columns["frame"][:3]) == [0, 10, 20]
    stored = Extraction.load(build.parent.parent / "videos" / "train-v1-1.npz")
    read = read_images(source, np.array([4, 3]))
    from data_pipeline.training.decode import decode_image

    np.testing.assert_array_equal(read[0], decode_image(stored.crops[1]))
    np.testing.assert_array_equal(read[1], decode_image(stored.crops[0]))


def test_the_records_read_without_our_code(build: Any) -> None:
    script = (
        "import sys, tensorflow_datasets as tfds\n"
        f"s = tfds.builder_from_directory({str(build)!r}).as_data_source(split='val')\n"
        "e = s[5]; print(len(s), e['image'].shape, e['label'], e['video_id'].decode())\n"
        "assert 'data_pipeline' not in sys.modules\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd="/", check=False
    )
    assert done.stdout.strip() == "12 (48, 48, 3) 1 v1", done.stderr


def test_columns_are_scanned_where_their_index_is_gone(build: Any, tmp_path: Path) -> None:
    import shutil

    copy = tmp_path / "1.0.0"
    shutil.copytree(build, copy)
    indexed = RecordSource(copy, "test").columns
    (copy / "columns-test.npz").unlink()
    scanned = RecordSource(copy, "test").columns
    for name, column in indexed.items():
        np.testing.assert_array_equal(column, scanned[name])


def test_an_index_of_other_records_is_refused(build: Any, tmp_path: Path) -> None:
    import shutil

    copy = tmp_path / "1.0.0"
    shutil.copytree(build, copy)
    np.savez(copy / "columns-test.npz", label=np.zeros(3))
    with pytest.raises(DataError, match="3 rows for 12 examples"):
        RecordSource(copy, "test")


def test_what_is_wrong_with_a_folder_is_said(build: Any, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no folder"):
        RecordSource(tmp_path / "none", "train")
    with pytest.raises(DataError, match="no records"):
        RecordSource(tmp_path, "train")
    with pytest.raises(DataError, match=r"there are: .*train"):
        RecordSource(build, "validation")


def test_several_builds_must_be_told_apart(build: Any, tmp_path: Path) -> None:
    import shutil

    for name in ("a", "b"):
        shutil.copytree(build, tmp_path / name / "1.0.0")
    with pytest.raises(DataError, match="several data sets"):
        RecordSource(tmp_path, "train")


def test_a_truncated_record_file_is_named(build: Any, tmp_path: Path) -> None:
    import shutil

    copy = tmp_path / "1.0.0"
    shutil.copytree(build, copy)
    file = next(copy.glob("*train.array_record*"))
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with pytest.raises(DataError, match="build"):
        source = RecordSource(copy, "train")
        source.read(np.arange(len(source)))


def test_a_corrupt_image_is_named(tmp_path: Path) -> None:
    from records import write_extraction

    from data_pipeline.pack import pack

    path = write_extraction(tmp_path / "videos", "broken", label=0, split="train")
    good = Extraction.load(path)
    Extraction(**{**vars(good), "crops": [b"not a jpeg"] * 3}).save(path)
    pack([path], tmp_path, name="bad", crop_size=48, file_format="array_record")
    with pytest.raises(DataError, match="broken"):
        RecordSource(tmp_path, "train").read(np.array([1]))


def test_arrays_complete_their_columns() -> None:
    source = ArraySource(np.zeros((3, 8, 8, 3), np.uint8), {"label": [0, 1, 1]})
    assert source.columns["label"].dtype == np.int32
    assert len(set(source.columns["video_id"])) == 3


def test_arrays_refuse_masks_and_landmarks_that_do_not_fit() -> None:
    images, columns = np.zeros((3, 8, 8, 3), np.uint8), {"label": [0, 1, 1]}
    with pytest.raises(DataError, match=r"masks must be uint8 \[3, 8, 8\], not uint8 \[3, 8\]"):
        ArraySource(images, columns, mask=np.zeros((3, 8), np.uint8))
    with pytest.raises(DataError, match=r"landmarks must be float32 \[3, K, 2\], not float64"):
        ArraySource(images, columns, landmarks=np.zeros((3, 5, 2)))
    with pytest.raises(DataError, match=r"landmarks_dense must be float32 \[3, K, 2\], not"):
        ArraySource(images, columns, landmarks_dense=np.zeros((2, 68, 2), np.float32))
    with pytest.raises(DataError, match=r"box must be float32 \[3, 4\], not float32 \[3, 2\]"):
        ArraySource(images, columns, box=np.zeros((3, 2), np.float32))


def test_arrays_give_back_what_they_were_given() -> None:
    draw = np.random.default_rng(0)
    given = {
        "landmarks": draw.random((3, 5, 2), np.float32),
        "landmarks_dense": draw.random((3, 68, 2), np.float32),
        "box": draw.random((3, 4), np.float32),
    }
    source = ArraySource(np.zeros((3, 8, 8, 3), np.uint8), {"label": [0, 1, 1]}, **given)
    assert source.fields == tuple(given)
    [example] = source.read(np.array([2]), ("box", "landmarks_dense"))
    assert example.landmarks is None
    np.testing.assert_array_equal(example.box, given["box"][2])
    np.testing.assert_array_equal(example.landmarks_dense, given["landmarks_dense"][2])


def test_a_real_record_without_a_mask_has_an_empty_one() -> None:
    """As foreign code may write them; a forged one without is damaged."""
    import tensorflow as tf

    from data_pipeline.training.decode import decode_example

    picture = cv2.imencode(".png", np.zeros((8, 8, 3), np.uint8))[1].tobytes()
    feature = {"image": tf.train.Feature(bytes_list=tf.train.BytesList(value=[picture]))}
    record = tf.train.Example(features=tf.train.Features(feature=feature)).features.feature
    mask = decode_example(record, 0, ["mask"]).mask
    assert mask.shape == (8, 8) and mask.dtype == np.uint8 and not mask.any()
    with pytest.raises(DataError, match="no bytes"):
        decode_example(record, 1, ["mask"])


@pytest.mark.parametrize(
    ("images", "columns", "message"),
    [
        (np.zeros((3, 8, 8, 3)), {"label": [0, 1, 1]}, "uint8"),
        (np.zeros((3, 8, 8), np.uint8), {"label": [0, 1, 1]}, r"\[N, H, W, 3\]"),
        (np.zeros((3, 8, 8, 3), np.uint8), {}, "need 'label'"),
        (np.zeros((3, 8, 8, 3), np.uint8), {"label": [0]}, "1 rows for 3 images"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(images: Any, columns: Any, message: Any) -> None:
    with pytest.raises(DataError, match=message):
        ArraySource(images, columns)
