"""What version 0.1 wrote and said still works: configs by ``kind``, a workdir, its resumption."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from workdirs import unpack

from matnet_jax.config import ConfigError, default_config
from matnet_jax.config import legacy as legacy_module
from matnet_jax.config.build import build_model
from matnet_jax.config.check import validate
from matnet_jax.config.legacy import upgraded, with_family
from matnet_jax.detectors.inference import infer
from matnet_jax.pretrained.trained import load_trained
from matnet_jax.sweep.data import Embedded
from matnet_jax.sweep.definition import Run
from matnet_jax.sweep.runner import run_config
from matnet_jax.train.run import train


@pytest.fixture
def workdir(tmp_path: Path) -> Any:
    """A small training of two steps by version 0.1, with averaged parameters."""
    unpack("workdir_0_1.tar.gz", tmp_path)
    return tmp_path


@pytest.fixture
def unsaid() -> None:
    """As if nothing had been said of old names yet."""
    legacy_module._say_once.cache_clear()


def test_a_checkpoint_of_version_0_1_gives_its_scores(workdir: Any, unsaid: Any) -> None:
    with pytest.warns(UserWarning, match="config.model.kind of older configs is config.model.name"):
        trained = load_trained(workdir)
    expected = np.load(workdir / "expected.npz")
    pixels = np.random.default_rng(0).integers(0, 256, (4, 64, 64, 3), dtype=np.uint8)
    images = trained.model.preprocess.normalize(jnp.asarray(pixels))
    found = infer(trained.model, trained.variables, images)
    np.testing.assert_allclose(found.score, expected["score"], rtol=1e-5)
    maps = found.heatmaps["attention_maps"]
    np.testing.assert_allclose(maps, expected["attention"], rtol=1e-4, atol=1e-6)
    assert trained.step == 2 and trained.metadata["config"]["model"]["name"] == "mat"


def test_a_training_of_version_0_1_continues(
    workdir: Any, recwarn: pytest.WarningsRecorder
) -> None:
    config = upgraded(json.loads((workdir / "config.json").read_text()))
    config.train.duration = "3 steps"
    assert train(config, workdir)["step"] == 3
    said = [str(warning.message) for warning in recwarn]
    assert any("continuing with changed values: config.train.duration" in text for text in said)
    rows = (workdir / "metrics.csv").read_text().splitlines()
    assert [row.split(",")[0] for row in rows[1:]] == ["1", "2", "2", "3", "3"]


def test_a_plain_classifier_of_version_0_1_continues(tmp_path: Path) -> None:
    """Its checkpoints hold an empty collection that the network has no more."""
    unpack("classifier_0_1.tar.gz", tmp_path)
    config = upgraded(json.loads((tmp_path / "config.json").read_text()))
    assert config.model.name == "classifier"
    config.train.duration = "2 steps"
    assert train(config, tmp_path)["step"] == 2
    assert not (tmp_path / "checkpoints_unreadable").exists()


def test_a_sweep_of_version_0_1_runs_as_it_was_meant(tmp_path: Path) -> None:
    base = default_config()
    datasets = Embedded()
    plain = Run("plain", "embedded", {"model.kind": "classifier", "model.mid_dims": None})
    config = run_config(base, plain, datasets, tmp_path)
    assert config.model.name == "classifier" and "mid_dims" not in config.model
    wrong = Run("wrong", "embedded", {"model.name": "classifier", "losses.auxiliary": "ams"})
    with pytest.raises(ConfigError, match=r"run wrong of a classifier: .*auxiliary"):
        run_config(base, wrong, datasets, tmp_path)


def test_defaults_of_one_family_are_not_carried_to_another() -> None:
    assert with_family(default_config(name="meso4"), "classifier").losses.cross_entropy == 1.0


def test_kind_is_read_as_it_was_meant_and_told_of_once(
    unsaid: Any, recwarn: pytest.WarningsRecorder
) -> None:
    config = default_config()
    config.data.dir = "records"
    config.model.kind = "classifier"
    config.optimizer.learning_rate = 0.5
    validate(config)
    new = upgraded(config)
    assert new.model.name == "classifier" and "kind" not in new.model and "agda" not in new
    assert new.optimizer.learning_rate == 0.5
    assert type(build_model(config)).__name__ == "PlainClassifier"
    assert len([w for w in recwarn if "config.model.kind" in str(w.message)]) == 1


def test_a_changed_family_is_an_error_that_says_how() -> None:
    config = default_config()
    config.data.dir = "records"
    config.model.name = "classifier"
    with pytest.raises(ConfigError, match=r"was built for 'mat'.*default_config.name='classifier'"):
        validate(config)


def test_another_familys_config_keeps_what_both_have() -> None:
    config = default_config("released")
    config.data.ops, config.model.image_size = "strong", 96
    config.losses.label_smoothing = 0.1
    other = with_family(config, "classifier")
    assert (other.data.ops, other.model.image_size) == ("strong", 96)
    assert other.losses.to_dict() == {
        "cross_entropy": 1.0,
        "label_smoothing": 0.1,
        "each_class": False,
        "class_weights": (1.0, 1.0),
    }
    assert other.recipe == "released" and other.optimizer.name == "adamw"
    with pytest.raises(ConfigError, match=r"config.model.name is one of mat, classifier"):
        with_family(config, "clasifier")
