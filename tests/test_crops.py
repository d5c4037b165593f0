"""How faces were cut goes from records to checkpoint, export and prediction, and is checked."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_source import tiny_source
from workdirs import tiny_config

import matnet_jax.evaluation.run
import matnet_jax.train.run
from data_pipeline.extract.crops import Settings
from data_pipeline.extract.protocol import CropProtocol
from matnet_jax.checkpoints.crops import check_crops
from matnet_jax.checkpoints.orbax import CheckpointMismatchError
from matnet_jax.evaluation.run import evaluate
from matnet_jax.predict import Predictor
from matnet_jax.predict.network import Network, exported_network, trained_network
from matnet_jax.predict.predictor import settings_for
from matnet_jax.pretrained import export
from matnet_jax.pretrained.trained import load_trained
from matnet_jax.train.run import train

pytestmark = pytest.mark.usefixtures("no_charts")

BOX = Settings(detector="none", alignment="box", crop_size=64).protocol
BOX = dataclasses.replace(BOX, alignment="box", margin=1.3, crop_version="b1", detector="yunet")
SIMILARITY = Settings(detector="mtcnn", crop_size=64).protocol


class _Cut:
    """A source whose faces were cut by a protocol."""

    def __init__(self, split: str, protocol: CropProtocol | None) -> None:
        self._source = tiny_source(split)
        self.crop_protocol = protocol

    def __getattr__(self, name: str) -> Any:
        return getattr(self._source, name)

    def __len__(self) -> int:
        return len(self._source)


@pytest.fixture(scope="module")
def workdir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training of two steps on faces that were cut upright."""
    folder = tmp_path_factory.mktemp("boxes")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(matnet_jax.train.run, "open_source", lambda _, split, *sees: _Cut(split, BOX))
        train(tiny_config(**{"train.duration": "2 steps"}), folder)
    return folder


def test_a_checkpoint_and_its_export_hold_the_protocol(workdir: Path, tmp_path: Path) -> None:
    assert CropProtocol.from_json(load_trained(workdir).metadata["crops"]) == BOX
    out = tmp_path / "out"
    assert export.COMMAND([f"--workdir={workdir}", f"--out={out}", "--platforms=cpu"]) == 0
    assert json.loads((out / "preprocess.json").read_text())["crops"] == BOX.as_json()
    assert exported_network(out).crops == trained_network(workdir).crops == BOX


def test_prediction_cuts_as_the_records_were(workdir: Path) -> None:
    predictor = Predictor.from_workdir(workdir)
    used = predictor.used_settings
    assert (used.alignment, used.detector, used.crop_size) == ("box", "yunet", 64)
    assert used.faces == "all" and used.num_frames == 32


def test_prediction_refuses_to_cut_otherwise(workdir: Path) -> None:
    network = trained_network(workdir)
    asked = settings_for(network.crops, alignment="similarity", num_frames=4)
    assert (asked.alignment, asked.detector, asked.num_frames) == ("similarity", "yunet", 4)
    with pytest.raises(CheckpointMismatchError, match="alignment: box against similarity"):
        Predictor(network, settings=asked)
    assert Predictor(network, settings=asked, any_crops=True).used_settings == asked
    unknown = dataclasses.replace(network, crops=None)
    assert Predictor(unknown, settings=asked).used_settings == asked


def test_evaluation_refuses_records_that_were_cut_otherwise(
    workdir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    faces: dict[str, CropProtocol | None] = {"protocol": SIMILARITY}
    monkeypatch.setattr(
        matnet_jax.evaluation.run,
        "open_evaluation",
        lambda _, split, *sees: _Cut(split, faces["protocol"]),
    )
    config = tiny_config(**{"train.duration": "2 steps"})
    with pytest.raises(CheckpointMismatchError) as error:
        evaluate(config, workdir)
    text = str(error.value)
    assert "alignment: box against similarity" in text and "detector: yunet against mtcnn" in text
    assert "config.data.check_crops=False" in text
    config.data.check_crops = False
    assert np.isfinite(evaluate(config, workdir)["loss"])
    config.data.check_crops, faces["protocol"] = True, BOX
    assert np.isfinite(evaluate(config, workdir)["loss"])


def test_training_does_not_continue_on_other_crops(
    workdir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        matnet_jax.train.run, "open_source", lambda _, split, *sees: _Cut(split, SIMILARITY)
    )
    with pytest.raises(CheckpointMismatchError, match="crop_version: b1 against a1"):
        train(tiny_config(**{"train.duration": "3 steps"}), workdir)


def test_what_is_not_known_is_not_compared() -> None:
    for trained, now in ((None, BOX), (BOX, None), (None, None), (BOX, BOX)):
        check_crops(trained, now, network="a", faces="b")
    network = Network(32, 1, {}, lambda crops: (crops, {}))
    assert Predictor(network).used_settings == Settings(faces="all")
