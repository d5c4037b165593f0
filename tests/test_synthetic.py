"""The embedded data: deterministic, split by people, not solved by whole-frame statistics."""

from __future__ import annotations

import dataclasses
from typing import Any

import cv2
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from data_pipeline.synthetic import KINDS, draw_clips, make_clips, synthetic_source
from data_pipeline.synthetic.faces import draw_frame, draw_identity, draw_scene, face_grid
from data_pipeline.synthetic.forgeries import draw_forgery, forge, region_mask
from data_pipeline.synthetic.landmarks import face_landmarks


def test_clips_are_a_function_of_their_arguments() -> None:
    first, columns = make_clips("val", num_identities=2, frames_per_clip=2, image_size=64)
    again, _ = make_clips("val", num_identities=2, frames_per_clip=2, image_size=64)
    other, _ = make_clips("val", seed=1, num_identities=2, frames_per_clip=2, image_size=64)
    np.testing.assert_array_equal(first, again)
    assert first.shape == (8, 64, 64, 3) and first.dtype == np.uint8
    assert not np.array_equal(first, other)
    assert list(columns["label"]) == [0, 0, 1, 1] * 2


def test_columns_name_every_clip_and_its_person() -> None:
    images, columns = make_clips(
        "val", num_identities=4, clips_per_identity=2, frames_per_clip=2, image_size=32
    )
    assert all(len(column) == len(images) == 32 for column in columns.values())
    assert columns["frame"].dtype == columns["label"].dtype == columns["face"].dtype == np.int32
    assert columns["timestamp"].dtype == np.float32
    assert len(set(columns["video_id"])) == 16  # 8 real clips and a forgery of each
    assert len(set(columns["source_id"])) == 4
    np.testing.assert_array_equal(columns["subset"] == "real", columns["label"] == 0)
    assert list(columns["timestamp"][:2]) == [0.0, 0.125]


def test_people_are_in_one_split_only() -> None:
    people = {
        split: set(
            make_clips(split, num_identities=3, frames_per_clip=1, image_size=32)[1]["source_id"]
        )
        for split in ("train", "val", "test")
    }
    assert not people["train"] & people["test"] and not people["train"] & people["val"]
    with pytest.raises(ValueError, match="train, val, test"):
        make_clips("validation")


def test_a_forgery_is_local() -> None:
    images, columns = make_clips("test", num_identities=8, frames_per_clip=1)
    assert set(columns["subset"]) == {"real", *KINDS}
    real, fake = images[0::2].astype(float), images[1::2].astype(float)
    changed = np.abs(real - fake).mean(-1) > 12
    share = changed.mean((1, 2))
    assert (share > 0.005).all() and (share < 0.45).all()
    border = np.ones((128, 128), bool)
    border[8:-8, 8:-8] = False
    assert np.abs(real - fake)[:, border].mean() < 0.5  # the background is shared


@pytest.mark.parametrize("kind", KINDS)
def test_a_forgery_changes_its_region_alone(kind: Any) -> None:
    draw = np.random.default_rng(3)
    identity, scene, forgery = draw_identity(draw), draw_scene(draw, 64), draw_forgery(draw, kind)
    grid = face_grid(identity, scene, 0.5, 64)
    frame, donor = draw.uniform(60, 200, (2, 64, 64, 3)).astype(np.float32)
    forged = forge(frame, forgery, grid, donor)
    mask = region_mask(forgery, grid)
    np.testing.assert_array_equal(forged[mask == 0], frame[mask == 0])
    assert np.abs(forged - frame)[mask == 1].mean() > 10


def test_masks_are_where_the_forgery_is() -> None:
    clips = draw_clips("val", num_identities=8, frames_per_clip=2, image_size=96)
    images, _ = make_clips("val", num_identities=8, frames_per_clip=2, image_size=96)
    np.testing.assert_array_equal(clips.images, images)
    labels = clips.columns["label"]
    assert clips.mask.dtype == np.uint8 and set(np.unique(clips.mask)) == {0, 255}
    assert not clips.mask[labels == 0].any() and clips.mask[labels == 1].any(axis=(1, 2)).all()
    pairs = clips.images.reshape(8, 2, 2, 96, 96, 3).astype(float)
    changed = np.abs(pairs[:, 0] - pairs[:, 1]).mean(-1).reshape(-1, 96, 96)
    inside = clips.mask.reshape(8, 2, 2, 96, 96)[:, 1].reshape(-1, 96, 96) > 0
    assert changed[inside].mean() > 4 * changed[~inside].mean()


def test_landmarks_are_where_the_features_are() -> None:
    """Eyes are drawn nearly white around the iris, the lips are redder than the skin."""
    size = 256
    for person in range(6):
        draw = np.random.default_rng(person)
        identity = dataclasses.replace(draw_identity(draw), glasses=False, beard=0.0)
        scene = draw_scene(draw, size)
        points = face_landmarks(identity, scene, 0.3, size)
        grid = face_grid(identity, scene, 0.3, size)
        eye, mouth = identity.eye_height, identity.mouth_height
        wanted = [(-identity.eye_distance, eye), (identity.eye_distance, eye)]
        wanted += [(-identity.mouth_width, mouth), (identity.mouth_width, mouth)]
        for point, (fu, v) in zip(points[[0, 1, 3, 4]], wanted, strict=True):
            row, col = np.unravel_index(np.hypot(grid.fu - fu, grid.v - v).argmin(), (size, size))
            np.testing.assert_allclose(point, (col, row), atol=0.75)
        assert points[0, 0] < points[2, 0] < points[1, 0]
        frame = draw_frame(identity, scene, 0.3, size)
        x, y = points[3:].mean(0).round().astype(int)
        assert frame[y, x].mean() < frame[y - 12, x].mean()  # an open mouth under the lip's skin


def test_a_source_of_drawn_faces_gives_both() -> None:
    source = synthetic_source("val", image_size=48, num_identities=2)
    assert source.fields == ("mask", "landmarks")
    for example in source.read(np.arange(len(source)), source.fields):
        assert example.mask.any() == (example.label == 1)
        assert example.landmarks.shape == (5, 2) and (example.landmarks > 0).all()
        assert (example.landmarks < 48).all()


def test_a_swap_needs_a_donor() -> None:
    draw = np.random.default_rng(0)
    identity, scene = draw_identity(draw), draw_scene(draw, 32)
    grid, frame = face_grid(identity, scene, 0.0, 32), np.zeros((32, 32, 3), np.float32)
    with pytest.raises(ValueError, match="donor"):
        forge(frame, draw_forgery(draw, "swap"), grid)


def test_colours_shift_up_as_often_as_down() -> None:
    draw = np.random.default_rng(0)
    gains = np.array([draw_forgery(draw, "recolor").gain for _ in range(2000)])
    # A one-sided shift would be seen in the mean colour; the standard error here is about 0.003.
    assert np.abs(gains.mean(0) - 1).max() < 0.01


def features(images: np.ndarray) -> np.ndarray:
    """Colour means and deviations, JPEG size and Laplacian variance of each image."""
    rows = []
    for image in images:
        grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        size = len(cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 90])[1])
        laplacian = cv2.Laplacian(grey, cv2.CV_64F).var()
        rows.append([*image.mean((0, 1)), *image.std((0, 1)), size, laplacian])
    return np.array(rows)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_whole_frame_statistics_do_not_solve_it(seed: Any) -> None:
    train, train_columns = make_clips("train", seed=seed, num_identities=160, frames_per_clip=1)
    test, test_columns = make_clips("test", seed=seed, num_identities=120, frames_per_clip=1)
    train_features, test_features = features(train), features(test)
    both = np.concatenate([train_features, test_features])
    labels = np.concatenate([train_columns["label"], test_columns["label"]])
    people = np.concatenate([train_columns["source_id"], test_columns["source_id"]])
    classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    for transform in (np.asarray, np.log1p):
        classifier.fit(transform(train_features), train_columns["label"])
        held_out = classifier.predict_proba(transform(test_features))[:, 1]
        assert roc_auc_score(test_columns["label"], held_out) < 0.65
        folded = cross_val_predict(
            classifier,
            transform(both),
            labels,
            groups=people,
            cv=GroupKFold(5),
            method="predict_proba",
        )[:, 1]
        assert roc_auc_score(labels, folded) < 0.65
