"""Dense landmarks on their way from a video to an example."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from preparing import OneFace, video
from videos import write_clip

from data_pipeline.extract.crops import Settings, extract_video, extraction_path
from data_pipeline.extract.extraction import Extraction
from data_pipeline.landmarks.face_mesh import FaceMesh, LandmarkError
from data_pipeline.pack import pack
from data_pipeline.prepare import COMMAND
from data_pipeline.training.sources import DataError, RecordSource

MESH: Any = {"num_frames": 3, "crop_size": 64, "alignment": "box", "landmarks": "face_mesh"}


class Grid:
    """Finds 468 points in the face's box, evenly spread."""

    def points(self, image: np.ndarray, box: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
        steps = np.stack(np.meshgrid(np.linspace(0, 1, 26), np.linspace(0, 1, 18)), -1)
        return (box[:2] + steps.reshape(-1, 2) * (box[2:] - box[:2])).astype(np.float32)


def build(folder: Path, settings: Settings, mesh: Any) -> Path:
    """Records of one clip."""
    path = folder / "videos" / "x.npz"
    clip = video(write_clip(folder / "a.mp4", 8))
    extract_video(clip, settings, OneFace(), mesh=mesh).save(path)
    count = 468 if settings.landmarks else 0
    made = pack(
        [path],
        folder,
        name="t",
        crop_size=64,
        file_format="array_record",
        num_dense=count,
        protocol=settings.protocol,
    )
    assert made is not None
    return made


@pytest.mark.parametrize("margin", [1.3, 2.6])
def test_they_are_stored_in_pixels_of_the_crop(tmp_path: Path, margin: float) -> None:
    source = RecordSource(build(tmp_path, Settings(**MESH, margin=margin), Grid()), "train")
    assert source.fields == ("landmarks", "landmarks_dense", "box")
    [example] = source.read(np.array([1]), ("landmarks_dense", "box"))
    dense, box = example.landmarks_dense, example.box
    assert dense is not None and box is not None
    assert dense.shape == (468, 2) and dense.dtype == np.float32
    np.testing.assert_allclose(dense.min(0), box[:2], atol=1e-3)  # the points span the box
    np.testing.assert_allclose(dense.max(0), box[2:], atol=1e-3)
    stored = Extraction.load(tmp_path / "videos" / "x.npz")
    np.testing.assert_array_equal(stored.landmarks_dense[1], dense)
    assert Extraction.load(tmp_path / "videos" / "x.npz", crops=False).landmarks_dense is None


def test_builds_without_them_have_none(tmp_path: Path) -> None:
    source = RecordSource(build(tmp_path, Settings(num_frames=2, crop_size=64), None), "train")
    assert source.fields == ("landmarks", "box")
    with pytest.raises(DataError, match="no landmarks_dense in"):
        source.read(np.array([0]), ("landmarks_dense",))


def test_files_of_before_keep_their_names_and_others_get_new_ones(tmp_path: Path) -> None:
    one = video(tmp_path / "a.mp4")
    plain = Settings()
    for name in ("masks", "margin", "landmarks"):
        assert name not in plain.as_text()
    others = [plain, Settings(margin=1.4), Settings(landmarks="face_mesh"), Settings(masks=True)]
    assert len({extraction_path(tmp_path, one, settings) for settings in others}) == 4


def test_what_cannot_have_them_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown landmarks 'dlib'; available: face_mesh"):
        Settings(landmarks="dlib")
    with pytest.raises(ValueError, match="need a detector that says where the face and its eyes"):
        Settings(landmarks="face_mesh", detector="none")
    with pytest.raises(LandmarkError, match="box or eyes are not known"):
        image, nowhere = np.zeros((9, 9, 3), np.uint8), np.full((5, 2), np.nan)
        FaceMesh.points(None, image, np.zeros(4), nowhere)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--landmark_weights=/no/mesh.tflite"], "no file /no/mesh.tflite"),
        (["--detector=none"], "need a detector that says where the face"),
        (["--detector=none", "--landmarks=", "--margin=2"], "--detector=none cuts none"),
    ],
)
def test_the_command_says_so_before_it_reads_a_video(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], flags: list[str], message: str
) -> None:
    (tmp_path / "in" / "real").mkdir(parents=True)
    (tmp_path / "in" / "real" / "a.mp4").write_bytes(b"no video")
    out = tmp_path / "out"
    given = ["--dataset=folder", f"--root={tmp_path / 'in'}", f"--out={out}"]
    given += ["--landmarks=face_mesh", "--detector=mtcnn", *flags]
    given = [flag for flag in given if flag != "--landmarks="]
    if "--landmarks=" in flags:
        given.remove("--landmarks=face_mesh")
    assert COMMAND(given) == 1
    assert message in capsys.readouterr().err
    assert not (out / "videos").exists()
