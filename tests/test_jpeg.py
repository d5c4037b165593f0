"""JPEG on the device against Pillow, and the network that sees its error levels."""

from __future__ import annotations

import io
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny
from PIL import Image

from matnet_jax.config import default_config
from matnet_jax.config.build import build_model
from matnet_jax.config.schema import ConfigError
from matnet_jax.detectors.variables import init_variables
from matnet_jax.detectors.xception_ela import XceptionELA
from matnet_jax.model import create_detector
from matnet_jax.nn.jpeg import error_levels, resaved


def photo(height: int, width: int) -> np.ndarray:
    """Something smooth with edges and a little noise."""
    draw = np.random.default_rng(0)
    rows, columns = np.mgrid[:height, :width]
    waves = [
        np.sin(rows / a + c) + np.cos(columns / b)
        for c, (a, b) in enumerate([(9, 7), (5, 11), (13, 4)])
    ]
    image = 128 + 45 * np.stack(waves, -1) + 60 * (columns[..., None] > width // 2)
    return np.clip(image + draw.normal(0, 3, image.shape), 0, 255).astype(np.uint8)


def by_pillow(image: np.ndarray, quality: int) -> np.ndarray:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=quality, subsampling=2)
    return np.asarray(Image.open(io.BytesIO(file.getvalue())))


def ours(image: np.ndarray, quality: int) -> np.ndarray:
    return np.asarray(resaved(jnp.asarray(image[None], jnp.int32), quality))[0]


@pytest.mark.parametrize("quality", [30, 75, 90, 95])
@pytest.mark.parametrize("size", [(64, 64), (45, 83)])
def test_it_is_pillows(size: tuple[int, int], quality: int) -> None:
    """Sizes that no block divides, too."""
    for image in (photo(*size), np.random.default_rng(1).integers(0, 256, (*size, 3), np.uint8)):
        difference = np.abs(ours(image, quality) - by_pillow(image, quality))
        assert difference.max() <= 1 and (difference > 0).mean() < 0.002


def test_error_levels_by_hand() -> None:
    image = photo(64, 64)
    error = np.abs(image.astype(int) - by_pillow(image, 90))
    levels = np.asarray(error_levels(jnp.asarray(image[None], jnp.int32), 90))[0]
    np.testing.assert_allclose(levels, error * (255 / error.max()), atol=255 / error.max() + 1e-3)
    np.testing.assert_allclose(levels.max(), 255, rtol=1e-6)
    grey = np.full((1, 32, 32, 3), 77, np.int32)
    np.testing.assert_array_equal(error_levels(jnp.asarray(grey), 90), 0)


def test_saving_again_changes_little() -> None:
    once = ours(photo(64, 64), 90)
    before, after = (np.abs(x - ours(x, 90)).mean() for x in (photo(64, 64), once))
    assert after < 0.4 * before


class PatchELA(XceptionELA):
    """The network on features of patches, which compile quickly."""

    def endpoints(self, images: Any, *, train: bool = False, weight: Any = None) -> Any:
        del train, weight
        return tiny.patch_features(images)


def test_the_network_sees_the_levels() -> None:
    model = PatchELA(**tiny.FIELDS)
    variables, pixels = init_variables(model, 0), jnp.asarray(tiny.pixels(2))
    images = model.preprocess.normalize(pixels)
    want = model.preprocess.normalize(error_levels(pixels.astype(jnp.int32), 90))
    levels = model.apply(variables, images, method="levels")
    np.testing.assert_allclose(levels, want, atol=1e-5)
    head = variables["params"]["head"]
    pooled = tiny.patch_features(want)["final"].mean((1, 2))
    np.testing.assert_allclose(
        model.apply(variables, images).logits, pooled @ head["kernel"] + head["bias"], atol=1e-5
    )
    gradient = jax.grad(lambda x: model.apply(variables, x, method="levels").sum())(images)
    np.testing.assert_array_equal(gradient, 0)
    assert create_detector("xception_ela").preprocess.image_size == 299
    config = default_config(name="xception_ela")
    config.model.backbone = "xcption"
    with pytest.raises(ConfigError, match="unknown backbone 'xcption'; available: "):
        build_model(config)
