"""A detector of two squares and a network of brightness, for tests of prediction."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from data_pipeline.detectors import Face
from data_pipeline.extract.crop import template
from data_pipeline.extract.crops import Settings
from matnet_jax.predict import Predictor
from matnet_jax.predict import predictor as predictor_module
from matnet_jax.predict.network import Network

SETTINGS = Settings(num_frames=8, crop_size=64, faces="all", alignment="box", min_face=1)


class Squares:
    """Finds the two bright squares of `moving_square`, the red one on the later half only."""

    def detect(self, image: Any) -> Any:
        faces = [face(8, 8, 40, 40)]
        if image[10, 10, 0] > 150:
            faces.append(face(60, 50, 110, 80))
        return faces


def face(x0: Any, y0: Any, x1: Any, y1: Any) -> Face:
    landmarks = template(32) + np.array([x0, y0])
    return Face(np.array([x0, y0, x1, y1], np.float32), landmarks.astype(np.float32), 0.9)


class Brightness:
    """A network whose score is the crop's mean brightness; keeps what it was given."""

    def __init__(self, batch_size: int = 4) -> None:
        self.sizes, self.crops = [], []
        self.network = Network(48, batch_size, {"workdir": "brightness", "step": 1}, self.run)

    def run(self, images: Any) -> Any:
        real = images.reshape(len(images), -1).any(axis=1).sum()
        self.sizes.append(int(real))
        self.crops += list(images[:real])
        maps = np.ones((len(images), 4, 4, 2), np.float32)
        return images.mean((1, 2, 3)) / 255, {"attention_maps": maps}


@pytest.fixture
def squares(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(predictor_module, "create_detector", lambda name, weights: Squares())


@pytest.fixture
def stub(squares: Any) -> Any:
    stub = Brightness()
    stub.predictor = Predictor(stub.network, settings=SETTINGS)
    return stub
