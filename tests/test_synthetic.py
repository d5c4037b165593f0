"""The embedded data: deterministic, split by people, not solved by whole-frame statistics."""

import cv2
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from data_pipeline.synthetic import KINDS, make_clips


def test_clips_are_a_function_of_their_arguments():
    first, columns = make_clips("val", num_identities=2, frames_per_clip=2, image_size=64)
    again, _ = make_clips("val", num_identities=2, frames_per_clip=2, image_size=64)
    other, _ = make_clips("val", seed=1, num_identities=2, frames_per_clip=2, image_size=64)
    np.testing.assert_array_equal(first, again)
    assert first.shape == (8, 64, 64, 3) and first.dtype == np.uint8
    assert not np.array_equal(first, other)
    assert list(columns["label"]) == [0, 0, 1, 1] * 2


def test_people_are_in_one_split_only():
    people = {
        split: set(
            make_clips(split, num_identities=3, frames_per_clip=1, image_size=32)[1]["source_id"]
        )
        for split in ("train", "val", "test")
    }
    assert not people["train"] & people["test"] and not people["train"] & people["val"]
    with pytest.raises(ValueError, match="train, val, test"):
        make_clips("validation")


def test_a_forgery_is_local():
    images, columns = make_clips("test", num_identities=8, frames_per_clip=1)
    assert set(columns["subset"]) == {"real", *KINDS}
    real, fake = images[0::2].astype(float), images[1::2].astype(float)
    changed = np.abs(real - fake).mean(-1) > 12
    share = changed.mean((1, 2))
    assert (share > 0.005).all() and (share < 0.45).all()
    border = np.ones((128, 128), bool)
    border[8:-8, 8:-8] = False
    assert np.abs(real - fake)[:, border].mean() < 0.5  # the background is shared


def features(images: np.ndarray) -> np.ndarray:
    """Colour means, JPEG size and Laplacian variance of each image."""
    rows = []
    for image in images:
        grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        size = len(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 90])[1])
        rows.append([*image.mean((0, 1)), size, cv2.Laplacian(grey, cv2.CV_64F).var()])
    return np.array(rows)


@pytest.mark.parametrize("seed", [0, 1])
def test_whole_frame_statistics_do_not_solve_it(seed):
    train, train_columns = make_clips("train", seed=seed, num_identities=160, frames_per_clip=1)
    test, test_columns = make_clips("test", seed=seed, num_identities=120, frames_per_clip=1)
    classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    for transform in (lambda x: x, np.log1p):
        classifier.fit(transform(features(train)), train_columns["label"])
        scores = classifier.predict_proba(transform(features(test)))[:, 1]
        assert roc_auc_score(test_columns["label"], scores) < 0.65
