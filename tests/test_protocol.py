"""How faces were cut: stored with records, compared, and turned into settings again."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from preparing import OneFace, video
from records import write_extraction
from videos import write_clip

from data_pipeline.extract.crop import MARGIN, template
from data_pipeline.extract.crops import Settings, extract_video
from data_pipeline.extract.protocol import CropProtocol
from data_pipeline.pack import pack
from data_pipeline.synthetic import synthetic_source
from data_pipeline.training.errors import DataError
from data_pipeline.training.joined import Joined, Rows
from data_pipeline.training.sources import RecordSource

PROTOCOL = Settings(crop_size=48).protocol


def records(folder: Any, protocol: Any) -> Any:
    paths = list((folder / "videos").glob("*.npz"))  # what is written again is packed again
    paths = paths or [write_extraction(folder / "videos", "v", label=1, split="test")]
    return pack(
        paths, folder, name="t", crop_size=48, file_format="array_record", protocol=protocol
    )


def test_it_goes_through_json() -> None:
    values = json.loads(json.dumps(PROTOCOL.as_json()))
    assert values == {
        "alignment": "similarity",
        "margin": 1.3,
        "crop_size": 48,
        "crop_version": "a1",
        "detector": "yunet",
    }
    assert CropProtocol.from_json(values) == PROTOCOL
    assert CropProtocol.from_json(values | {"margin": 1}).margin == 1.0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"zoom": 2}, "a crop protocol has alignment, margin, .*; got .*zoom"),
        ({"crop_size": "48"}, "crop_size of a crop protocol is a int, not '48'"),
        ({"margin": True}, "margin of a crop protocol is a float, not True"),
    ],
)
def test_what_is_no_protocol_is_refused(change: Any, message: Any) -> None:
    with pytest.raises(ValueError, match=message):
        CropProtocol.from_json(PROTOCOL.as_json() | change)


def test_differences_name_both_values() -> None:
    other = Settings(crop_size=64, alignment="box").protocol
    assert PROTOCOL.differences(PROTOCOL) == []
    assert PROTOCOL.differences(other) == [
        "alignment: similarity against box",
        "crop_size: 48 against 64",
        "crop_version: a1 against b1",
    ]


@pytest.mark.parametrize(
    "settings",
    [
        Settings(),
        Settings(detector="yunet", crop_size=256, alignment="box"),
        Settings(detector="none", crop_size=64),
        Settings(detector="yunet", alignment="box", margin=2.6),
    ],
)
def test_settings_come_back_from_their_protocol(settings: Any) -> None:
    assert settings.protocol.margin == (1.0 if settings.detector == "none" else settings.margin)
    assert settings.margin in (MARGIN, 2.6)
    assert Settings.from_protocol(settings.protocol) == settings
    more = Settings.from_protocol(settings.protocol, num_frames=3, faces="all")
    assert more == dataclasses.replace(settings, num_frames=3, faces="all")


def test_a_protocol_of_another_time_is_refused() -> None:
    with pytest.raises(ValueError, match="crop_version: a0 against a1"):
        Settings.from_protocol(dataclasses.replace(PROTOCOL, crop_version="a0"))
    with pytest.raises(ValueError, match="unknown alignment 'mesh'; available: similarity"):
        Settings.from_protocol(dataclasses.replace(PROTOCOL, alignment="mesh"))


def test_records_tell_how_they_were_cut(tmp_path: Path) -> None:
    build = records(tmp_path, PROTOCOL)
    assert RecordSource(build, "test").crop_protocol == PROTOCOL
    (build / "crops.json").write_text('{"alignment"')
    with pytest.raises(DataError, match=r"crops\.json is damaged"):
        RecordSource(build, "test")


def test_older_records_and_drawn_faces_do_not_until_prepared_again(tmp_path: Path) -> None:
    build = records(tmp_path, None)
    assert RecordSource(build, "test").crop_protocol is None
    before = (build / "columns-test.npz").stat().st_mtime_ns
    assert records(tmp_path, PROTOCOL) == build
    assert RecordSource(build, "test").crop_protocol == PROTOCOL
    assert (build / "columns-test.npz").stat().st_mtime_ns == before  # nothing was packed again
    source = synthetic_source("val", image_size=32, num_identities=1)
    assert source.crop_protocol is None


def test_faces_cut_in_different_ways_are_not_joined(tmp_path: Path) -> None:
    boxes = dataclasses.replace(PROTOCOL, alignment="box", crop_version="b1")
    first, same, other, older = (
        RecordSource(records(tmp_path / name, protocol), "test")
        for name, protocol in (("a", PROTOCOL), ("b", PROTOCOL), ("c", boxes), ("d", None))
    )
    joined = Joined([first, same])
    assert joined.crop_protocol == PROTOCOL and joined.fields == ("landmarks", "box")
    assert str(Rows(joined, np.arange(1))) == f"1 rows of {first} and {same}"
    assert Joined([first, older]).crop_protocol is None
    with pytest.raises(DataError) as raised:
        Joined([older, first, other])
    assert str(PROTOCOL) in str(raised.value) and str(boxes) in str(raised.value)
    assert "alignment: similarity against box" in str(raised.value)


@pytest.mark.parametrize("margin", [MARGIN, 2.0])
@pytest.mark.parametrize("alignment", ["similarity", "box"])
def test_landmarks_and_boxes_of_records_are_in_pixels_of_the_crop(
    tmp_path: Path, alignment: Any, margin: Any
) -> None:
    settings = Settings(num_frames=2, crop_size=64, alignment=alignment, margin=margin)
    path = tmp_path / "videos" / "x.npz"
    extract_video(video(write_clip(tmp_path / "a.mp4", 8)), settings, OneFace()).save(path)
    pack(
        [path],
        tmp_path,
        name="t",
        crop_size=64,
        file_format="array_record",
        protocol=settings.protocol,
    )
    [example] = RecordSource(tmp_path, "train").read(np.array([1]), ["landmarks", "box"])
    face, box = template(64) + 20, np.array([[20, 10], [70, 80]])  # as `OneFace` finds them
    if alignment == "box":  # centre (45, 45), the longer side 70
        wanted, box = ((p - 45) * 64 / (margin * 70) + 32 for p in (face, box))
    else:  # the face is the template of the usual margin, moved
        wanted, box = ((p - 52) * MARGIN / margin + 32 for p in (face, box))
    assert example.landmarks.dtype == example.box.dtype == np.float32
    np.testing.assert_allclose(example.box, box.ravel(), atol=1e-3)
    np.testing.assert_allclose(example.landmarks, wanted, atol=1e-3)


def test_images_that_were_crops_have_no_landmarks(tmp_path: Path) -> None:
    path = tmp_path / "videos" / "x.npz"
    settings = Settings(detector="none", num_frames=2, crop_size=48)
    extract_video(video(write_clip(tmp_path / "a.mp4", 8)), settings, OneFace()).save(path)
    build = pack([path], tmp_path, name="t", crop_size=48, file_format="array_record")
    for field in ("landmarks", "box"):
        with pytest.raises(DataError, match="neither landmarks nor box are known"):
            RecordSource(build, "train").read(np.array([0]), [field])
