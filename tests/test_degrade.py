"""What both of a pair go through: photos' and videos' degradation."""

from __future__ import annotations

import dataclasses
import sys
from typing import Any

import cv2
import numpy as np
import pytest
from faces import face, picture

from data_pipeline.training.blend import Degrade, SelfBlend
from data_pipeline.training.blend.degrade import H264, ShotNoise, WhiteBalance
from data_pipeline.training.errors import DataError
from data_pipeline.training.example import Example
from data_pipeline.training.ops import Downscale, apply_ops
from matnet_jax.config import default_config
from matnet_jax.config.check import validate
from matnet_jax.config.data import pair_op
from matnet_jax.config.schema import ConfigError

STEPS = [f.name for f in dataclasses.fields(Degrade) if f.default == 0.0]
# A source that is the target leaves nothing but what both of a pair go through.
SAME: dict[str, Any] = {"mismatch": (), "shift": (0.0, 0.0), "scale": 1.0, "shared": ()}


def pair(degrade: Degrade, seed: int = 0) -> tuple[Example, Example]:
    made_of = Example(picture(0), 0, face())
    return SelfBlend(size=48, degrade=degrade, **SAME).pair(made_of, np.random.default_rng(seed))


@pytest.mark.parametrize("step", STEPS)
def test_both_of_a_pair_go_through_each_step_alike(step: str) -> None:
    if step == "h264":
        pytest.importorskip("av")
    plain, _ = pair(Degrade())
    real, fake = pair(Degrade(**{step: 1.0}))
    np.testing.assert_array_equal(real.image, fake.image)
    assert not np.array_equal(real.image, plain.image)
    again, _ = pair(Degrade(**{step: 1.0}))
    np.testing.assert_array_equal(real.image, again.image)


def test_what_is_off_is_not_there_and_changes_no_others_draws() -> None:
    assert len(STEPS) == 11 and Degrade().ops == ()
    example = Example(picture(1), 0)
    alone = apply_ops(example, Degrade(noise=1.0).ops, 3)
    beside = apply_ops(example, Degrade(noise=1.0, blur=1e-12, h264=1e-12).ops, 3)
    np.testing.assert_array_equal(alone.image, beside.image)


def test_white_balance_keeps_green() -> None:
    grey = np.full((8, 8, 3), 100, np.uint8)
    done = [WhiteBalance(limit=0.3).change(grey, np.random.default_rng(i)) for i in range(20)]
    red, green, blue = np.stack([image[0, 0].astype(int) for image in done], axis=1)
    assert (green == 100).all() and len(set(red)) > 10 and len(set(blue)) > 10
    for channel in (red, blue):
        assert 100 * np.exp(-0.3) - 1 <= channel.min() < channel.max() <= 100 * np.exp(0.3) + 1


def test_shot_noise_grows_with_the_root_of_brightness() -> None:
    halves = np.full((256, 256, 3), 50, np.uint8)
    halves[:, 128:] = 200
    noisy = ShotNoise(photons=(400.0, 400.0)).change(halves, np.random.default_rng(0))
    dark, bright = (float(noisy[:, part].std()) for part in (slice(128), slice(128, None)))
    assert dark == pytest.approx(255 * np.sqrt(50 / 255 / 400), rel=0.05)
    assert bright / dark == pytest.approx(2, rel=0.05)


def test_h264_compresses_by_its_rate_factor() -> None:
    pytest.importorskip("av")
    image = cv2.resize(picture(2), (160, 170), interpolation=cv2.INTER_CUBIC)
    image = cv2.add(image, np.random.default_rng(0).normal(0, 8, image.shape), dtype=cv2.CV_8U)

    def error(crf: int) -> float:
        done = H264(crf=(crf, crf)).change(image, np.random.default_rng(0))
        assert done.shape == image.shape
        return float(np.abs(done.astype(int) - image).mean())

    assert error(18) < error(30) < error(40)


def test_a_small_file_is_compressed_before_it_grows() -> None:
    """Its blocks of 8 pixels are 16 wide then, which JPEG at full size never has."""
    noise = np.random.default_rng(0).integers(0, 255, (128, 128, 1), np.uint8).repeat(3, axis=2)

    def steps(quality: tuple[int, int] | None) -> np.ndarray:
        done = Downscale(scale=(0.5, 0.5), quality=quality).change(noise, np.random.default_rng(0))
        return np.asarray(cv2.dct(cv2.resize(done, (64, 64))[:8, :8, 0].astype(np.float64)))

    assert np.count_nonzero(np.abs(steps(None)) > 4) > 40
    assert np.count_nonzero(np.abs(steps((2, 2))) > 4) < 10  # most of a block is quantised to 0
    small, _ = pair(Degrade(small=1.0, small_to=(1.0, 1.0), small_quality=(2, 2)))
    jpeg, _ = pair(Degrade(jpeg_again=1.0, jpeg_quality=(2, 2)))
    np.testing.assert_array_equal(small.image, jpeg.image)


def test_without_pyav_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(
        DataError, match=r"config.degrade.h264 .* pip install 'matnet-jax\[video\]'"
    ):
        pair(Degrade(h264=1.0))
    pair(Degrade(jpeg=1.0))  # which does not ask for it


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"blur": 1.5}, "blur 1.5: a probability"),
        ({"h264": -0.1}, "h264 -0.1"),
        ({"jpeg_quality": (90, 40)}, r"jpeg_quality \(90, 40\): least and greatest, in order"),
        ({"rescale_to": (0.5, 1.5)}, "rescale_to .* to 1"),
        ({"small_to": (0.0, 0.5)}, "small_to .* from 0.01 to 1"),
        ({"small_quality": (60, 101)}, "small_quality .* to 100"),
        ({"h264_crf": (18, 60)}, "h264_crf .* from 0 to 51"),
        ({"blur_sigma": (0.0, 1.0)}, "blur_sigma"),
        ({"white_balance_limit": -1.0}, "white_balance_limit"),
    ],
)
def test_options_that_make_no_sense_are_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Degrade(**fields)
    config = default_config("paper", "classifier")
    config.data.source = "synthetic"
    for name, value in fields.items():
        config.degrade[name] = value
    with pytest.raises(ConfigError, match=f"config.degrade: {message}") as refusal:
        validate(config)
    assert len(str(refusal.value).splitlines()) == 2  # told once, not for every kind of pairs


def test_a_config_reaches_every_kind_and_an_older_one_means_none() -> None:
    config = default_config("paper", "classifier")
    config.degrade.blur_sigma = (0.5, 3.0)
    config.degrade.grey = 0.5
    config.breadth.rotation = 0.25
    for kind in ("self_blended", "face_xray", "fwa"):
        made: Any = pair_op(config, kind, 64)
        assert made.degrade == Degrade(blur_sigma=(0.5, 3.0), grey=0.5)
        assert made.breadth.rotation == 0.25
    with config.unlocked():
        del config.degrade, config.breadth
    older: Any = pair_op(config, "self_blended", 64)
    assert older.degrade.ops == () and older == SelfBlend(size=64)
