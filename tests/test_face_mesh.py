"""Dense landmarks."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from data_pipeline.landmarks import canonical
from data_pipeline.landmarks.face_mesh import FaceMesh, LandmarkError
from data_pipeline.landmarks.find import landmark_finder
from data_pipeline.landmarks.mirrored import MIRRORED
from data_pipeline.synthetic import draw_clips


@pytest.fixture(scope="module")
def mesh(shared_models: Path) -> FaceMesh:
    pytest.importorskip("tensorflow")
    path = shared_models / "face_landmark.tflite"
    if not path.is_file():
        pytest.skip(f"no {path}")
    return FaceMesh(path)


@pytest.fixture(scope="module")
def drawn() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A drawn face: image, box, 5 landmarks."""
    clips = draw_clips("val", seed=0, num_identities=4, image_size=256)
    row = int(np.flatnonzero(clips.columns["label"] == 0)[0])
    landmarks = clips.landmarks[row]
    points = canonical.fit(landmarks)
    return clips.images[row], np.concatenate([points.min(0), points.max(0)]), landmarks


def test_points_lie_on_the_face(
    mesh: FaceMesh, drawn: tuple[np.ndarray, np.ndarray, np.ndarray]
) -> None:
    image, box, landmarks = drawn
    points = mesh.points(image, box, landmarks)
    assert points.shape == (468, 2) and points.dtype == np.float32
    width = box[2] - box[0]
    eyes = points[[33, 133]].mean(0), points[[362, 263]].mean(0)
    assert np.abs(np.array(eyes) - landmarks[:2]).max() < 0.12 * width
    assert 0.6 < np.ptp(points[:, 0]) / width < 1.5


def test_points_turn_and_shrink_with_the_image(
    mesh: FaceMesh, drawn: tuple[np.ndarray, np.ndarray, np.ndarray]
) -> None:
    image, box, landmarks = drawn
    points = mesh.points(image, box, landmarks)
    middle = (float(box[0] + box[2]) / 2, float(box[1] + box[3]) / 2)
    matrix = cv2.getRotationMatrix2D(middle, 25, 0.8)
    turned = cv2.warpAffine(image, matrix, image.shape[1::-1], borderMode=cv2.BORDER_REFLECT_101)
    centre = np.tile(middle, 2)
    found = mesh.points(
        turned, centre + 0.8 * (box - centre), landmarks @ matrix[:, :2].T + matrix[:, 2]
    )
    wanted = points @ matrix[:, :2].T + matrix[:, 2]
    assert np.abs(found - wanted).mean() < 0.02 * (box[2] - box[0])


def test_the_mirror_of_a_face_has_the_mirrored_points(
    mesh: FaceMesh, drawn: tuple[np.ndarray, np.ndarray, np.ndarray]
) -> None:
    image, box, landmarks = drawn
    last = image.shape[1] - 1
    points = mesh.points(image, box, landmarks)[list(MIRRORED[468])]
    mirrored = landmarks[list(MIRRORED[5])] * (-1, 1) + (last, 0)
    across = np.array([last - box[2], box[1], last - box[0], box[3]])
    found = mesh.points(np.ascontiguousarray(image[:, ::-1]), across, mirrored)
    assert np.abs(found - (points * (-1, 1) + (last, 0))).mean() < 0.03 * (box[2] - box[0])


def test_another_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LandmarkError, match="no file"):
        FaceMesh(tmp_path / "face_landmark.tflite")
    other = tmp_path / "other.tflite"
    other.write_bytes(b"other")
    with pytest.raises(LandmarkError, match="wanted 1055cb9d"):
        FaceMesh(other)
    with pytest.raises(ValueError, match="no landmarks by 'dlib'; available: yunet, face_mesh"):
        landmark_finder("dlib")
