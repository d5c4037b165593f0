"""Training on pairs, end to end with a tiny network."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_train import parameters
from workdirs import tiny_config

from data_pipeline.training.blend import BlendedSource
from data_pipeline.training.mixture import Mixture
from data_pipeline.training.sources import DataError
from matnet_jax.checkpoints.orbax import CheckpointMismatchError
from matnet_jax.config import ConfigError
from matnet_jax.config.check import validate
from matnet_jax.config.data import build_sampler, open_source
from matnet_jax.evaluation.run import evaluate
from matnet_jax.metrics.history import read_table
from matnet_jax.metrics.scores import read_scores
from matnet_jax.train.plan import build_plan
from matnet_jax.train.run import train

ROOT = Path(__file__).parents[1]

PAIRED = {
    "data.synthetic_identities": 4,
    "data.mixture": ("self_blended=1",),
    "self_blended.outline": "five",
    "validation.fakes": "self_blended",
    "train.accumulate": 2,
    "train.duration": "4 steps",
    "validation.every": "2 steps",
}


pytestmark = pytest.mark.usefixtures("two_devices", "no_charts")


def config(**overrides: Any) -> Any:
    """Of the plain classifier, which is compiled sooner than MAT."""
    return tiny_config("classifier", **(PAIRED | overrides))


def test_self_blended_training_continues_exactly(tmp_path: Path) -> None:
    result = train(config(), tmp_path / "whole")
    assert result["step"] == 4 and result["best_step"] in (2, 4)
    rows = read_table(tmp_path / "whole" / "metrics.csv").rows
    assert all(0 <= float(row["video_auc"]) <= 1 for row in rows if row["split"] == "val")
    train(config(**{"train.duration": "1 step"}), tmp_path / "two")
    with pytest.warns(UserWarning, match="changed values: config.train.duration"):
        train(config(), tmp_path / "two")
    for one, other in zip(
        parameters(tmp_path / "whole"), parameters(tmp_path / "two"), strict=True
    ):
        np.testing.assert_array_equal(one, other)
    with pytest.raises(CheckpointMismatchError, match=r"config.self_blended.soft: True before"):
        train(config(**{"self_blended.soft": False}), tmp_path / "whole")
    evaluate(config(), tmp_path / "whole", split="val")
    scores = read_scores(tmp_path / "whole" / "eval" / "val" / "scores.csv")
    assert set(scores["subset"]) == {"real", "self_blended"}
    card = (tmp_path / "whole" / "eval" / "val" / "model-card.md").read_text()
    assert "self_blended=1" in card


def test_the_sources_and_the_sampler_of_a_config() -> None:
    mixed = config(
        **{"data.mixture": ("records=0:0.5", "self_blended=1:0.5"), "data.mixture_over": "2 epochs"}
    )
    validate(mixed)
    source = open_source(mixed, "train", 32)
    sampler = build_sampler(mixed, source)
    assert isinstance(sampler, Mixture) and sampler.steps_per_epoch == 4
    assert sampler.counts(np.array([0, 8])).tolist() == [[0, 4], [2, 2]]
    assert isinstance(open_source(mixed, "val", 32), BlendedSource)
    assert not isinstance(open_source(mixed, "test", 32), BlendedSource)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"data.mixture": ("fake=1",)}, r"each of records, self_blended.*at most once"),
        ({"data.mixture": ("self_blended=0.5",)}, "their shares 1 in sum"),
        ({"data.mixture": ("self_blended=0.5", "self_blended=0.5")}, "at most once"),
        ({"train.batch_size": 9}, r"batch_size must be even for pairs .*; got 9"),
        ({"self_blended.regions": ("nose",)}, r"config.self_blended: regions .*: some of hull"),
        ({"self_blended.outline": "six"}, "config.self_blended.outline must be one of dense, five"),
        ({"validation.fakes": "sbi"}, "config.validation.fakes must be one of records"),
    ],
)
def test_what_cannot_be_mixed_is_named(fields: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        validate(config(**fields))


def test_what_cannot_be_trained_is_said_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="2 accumulated parts in whole groups of 2; take 8 or 16"):
        train(config(**{"train.batch_size": 12}), tmp_path / "no")
    with pytest.raises(DataError, match="set outline='five'"):
        train(config(**{"self_blended.outline": "dense"}), tmp_path / "no")
    assert not (tmp_path / "no").exists()


@pytest.mark.parametrize("name", ["sbi_b4", "sbi_lite0", "mat_sbi"])
def test_the_configs_of_self_blended_training_start(name: str, tmp_path: Path) -> None:
    made = runpy.run_path(str(ROOT / "configs" / f"{name}.py"))["get_config"]()
    validate(made)
    steps = build_plan(made, steps_per_epoch=10)
    assert steps.total_steps == 1000
    assert float(steps.learning_rate(749)) == pytest.approx(1e-3)
    assert float(steps.learning_rate(875)) == pytest.approx(5e-4)
    small = {"data.source": "synthetic", "data.synthetic_identities": 2, "data.crop_margin": None}
    small |= {"self_blended.outline": "five", "train.batch_size": 8, "validation.batch_size": 8}
    small |= {"train.duration": "1 step", "validation.every": "1 step"}
    small |= {"optimizer.hold": "0 steps", "model.image_size": 64}
    small |= {"model.width_coefficient": 0.25, "model.depth_coefficient": 0.1}
    if name == "mat_sbi":
        small |= {"model.mid_dims": 8, "model.num_attentions": 2, "agda.kernel_size": 3}
    made.update_from_flattened_dict(small)
    assert train(made, tmp_path)["step"] == 1
