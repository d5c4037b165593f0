"""A network's narrower crop out of wide records, in training, evaluation and prediction."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from data_pipeline.datasets import Video
from data_pipeline.detectors import Face
from data_pipeline.extract.crops import Settings, cut, cut_mask, cut_points, extract_video
from data_pipeline.pack import pack
from data_pipeline.training.blend import SelfBlend
from data_pipeline.training.errors import DataError
from data_pipeline.training.example import Example
from data_pipeline.training.joined import Joined
from data_pipeline.training.narrow import Narrowed, narrow
from data_pipeline.training.sources import ArraySource, RecordSource
from matnet_jax.config.data import open_evaluation, open_source
from matnet_jax.config.schema import default_config

BOX = np.array([70, 41, 131, 123], np.float32)
FIVE = BOX[:2] + np.array([[15, 30], [45, 31], [30, 48], [18, 62], [43, 61]], np.float32)
FACE = Face(BOX, FIVE, 0.9)
WIDE = Settings(detector="yunet", alignment="box", margin=2.6, crop_size=260, image_format="png")


def photo(height: int = 180, width: int = 220, seed: int = 0) -> np.ndarray:
    coarse = np.random.default_rng(seed).integers(0, 255, (18, 22, 3)).astype(np.uint8)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)


def example(image: np.ndarray, settings: Settings) -> Example:
    """A face's crop, with all that is known of it."""
    mask = np.where(image[..., 0] > 127, 255, 0).astype(np.uint8)
    return Example(
        cut(image, FACE, settings),
        0,
        cut_points(FIVE, FACE, settings),
        cut_mask(mask, FACE, settings),
        box=cut_points(BOX.reshape(2, 2), FACE, settings).reshape(4),
    )


class Finder:
    """Finds the face."""

    def detect(self, image: np.ndarray) -> list[Face]:
        return [FACE]


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Wide records of a photo, once in each split."""
    folder = tmp_path_factory.mktemp("wide")
    cv2.imwrite(str(folder / "photo.png"), photo()[..., ::-1])
    files = []
    for split in ("train", "val", "test"):
        video = Video("t", "real", "", split, split, split, 0, folder / "photo.png")
        path = folder / "videos" / f"{split}.npz"
        extract_video(video, WIDE, Finder()).save(path)
        files.append(path)
    built = pack(
        files,
        folder,
        name="t",
        crop_size=WIDE.crop_size,
        image_format="png",
        file_format="array_record",
        protocol=WIDE.protocol,
    )
    assert built is not None
    return built


@pytest.mark.parametrize(("margin", "size"), [(1.3, 96), (1.3, 130), (1.25, 64), (2.6, 200)])
def test_a_narrowed_crop_is_the_narrow_crop(margin: float, size: int) -> None:
    """Also where the photo ends, beyond which both reflect."""
    wide = example(photo(), WIDE)
    done = narrow(wide, share=margin / 2.6, size=size)
    wanted = example(photo(), dataclasses.replace(WIDE, margin=margin, crop_size=size))
    assert done.image.shape == (size, size, 3) and done.image.dtype == np.uint8
    assert done.mask is not None and wanted.mask is not None and wide.mask is not None
    assert np.abs(done.image.astype(int) - wanted.image).mean() < 1.5
    assert (done.mask != wanted.mask).mean() < 0.03
    for name in ("landmarks", "box"):
        np.testing.assert_allclose(getattr(done, name), getattr(wanted, name), atol=1e-3)


def test_training_validation_and_evaluation_see_what_prediction_cuts(build: Path) -> None:
    config = default_config()
    config.data.dir, config.data.crop_margin = str(build), 1.3
    sources = [open_source(config, split, 96) for split in ("train", "val")]
    sources.append(open_evaluation(config, "test", 96))
    for source in sources:
        protocol = source.crop_protocol
        assert protocol is not None
        assert protocol == dataclasses.replace(WIDE.protocol, margin=1.3, crop_size=96)
        predicted = cut(photo(), FACE, Settings.from_protocol(protocol))
        [one] = source.read(np.array([0]), ("landmarks", "box"))
        assert np.abs(one.image.astype(int) - predicted).mean() < 1.5
        assert one.box is not None
        np.testing.assert_allclose(np.ptp(one.box.reshape(2, 2)[:, 1]), 96 / 1.3, rtol=1e-4)
    config.data.crop_margin = None
    assert open_source(config, "val", 96).crop_protocol == WIDE.protocol
    joined = Joined([sources[0], sources[1]])
    assert joined.crop_protocol == sources[0].crop_protocol


def test_evaluation_sets_are_narrowed_before_they_are_compared(build: Path) -> None:
    config = default_config()
    config.data.dir, config.data.crop_margin = str(build), 1.3
    config.eval.data_dirs = (str(build), str(build))
    source = open_evaluation(config, "test", 96)
    assert len(source) == 2
    assert source.crop_protocol is not None and source.crop_protocol.margin == 1.3


def test_a_validation_pair_shows_the_square_that_records_are_narrowed_to(build: Path) -> None:
    source = RecordSource(build, "val")
    [wide] = source.read(np.array([0]), ("landmarks", "box"))
    plain: Any = {"mismatch": (), "shared": (), "mirror": 0.0, "margin": (0.125, 0.125)}
    real, fake = SelfBlend(size=96, **plain).pair(wide, np.random.default_rng(0))
    [wanted] = Narrowed(source, margin=1.25, size=96).read(np.array([0]), ("landmarks", "box"))
    difference = np.abs(real.image.astype(int) - wanted.image)
    assert difference.max() <= 2 and difference.mean() < 0.1
    for name in ("landmarks", "box"):
        np.testing.assert_allclose(getattr(real, name), getattr(wanted, name), atol=1e-2)
        np.testing.assert_array_equal(getattr(real, name), getattr(fake, name))


def test_a_training_pair_shows_a_square_around_the_box() -> None:
    wide = example(photo(), WIDE)
    margins = []
    for seed in range(40):
        real, _ = SelfBlend(size=130).pair(wide, np.random.default_rng(seed))
        assert real.box is not None
        low, high = real.box.reshape(2, 2)
        width, height = high - low
        assert width / height == pytest.approx(61 / 82, rel=1e-3)  # nothing is stretched
        centre = (low + high) / 2
        sides = np.concatenate([centre, 130 - centre]) / height - 0.5
        # A crop's centre is at size / 2, half a pixel off the middle; so is a mirrored one's.
        assert (sides > 0.05 - 0.02).all() and (sides < 0.2 + 0.02).all()
        margins.append(sides)
    assert np.ptp(margins) > 0.08
    assert max(abs(left - right) for left, _, right, _ in margins) > 0.03


@pytest.mark.parametrize("box", [[np.nan] * 4, [900, 900, 990, 990], [50, 50, 50, 50]])
def test_a_box_that_is_none_leaves_the_landmarks_rectangle(box: list[float]) -> None:
    wide = example(photo(), WIDE)
    without, odd = (
        SelfBlend(size=64, mirror=0.0).pair(
            dataclasses.replace(wide, box=given), np.random.default_rng(3)
        )
        for given in (None, np.array(box, np.float32))
    )
    np.testing.assert_array_equal(without[1].image, odd[1].image)


def test_what_cannot_be_narrowed_is_refused(build: Path) -> None:
    source: Any = RecordSource(build, "val")
    with pytest.raises(DataError, match=r"crop_margin=3 is wider than the records .* of 2\.6: "):
        Narrowed(source, margin=3, size=64)
    source.crop_protocol = Settings().protocol
    with pytest.raises(DataError, match="of alignment 'similarity': prepare them with"):
        Narrowed(source, margin=1.3, size=64)
    arrays = ArraySource(np.zeros((1, 8, 8, 3), np.uint8), {"label": [0]})
    with pytest.raises(DataError, match="how those of an ArraySource of 1 images were cut is not"):
        Narrowed(arrays, margin=1.3, size=64)
