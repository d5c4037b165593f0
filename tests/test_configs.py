"""Configs: what cannot be run is said at once, all of it, with the closest name."""

from __future__ import annotations

import importlib.util
import json
import warnings
from pathlib import Path
from typing import Any

import pytest

import matnet_jax.train.plan
from matnet_jax.config.build import build_model, build_objective
from matnet_jax.config.check import validate
from matnet_jax.config.legacy import upgraded
from matnet_jax.config.schema import ConfigError, adopt_model_fields, changes, default_config
from matnet_jax.detectors.classifier import CrossEntropy
from matnet_jax.detectors.durations import duration_in_steps
from matnet_jax.detectors.mat.agda import RELEASED, AGDAOptions
from matnet_jax.detectors.mat.objective import LossOptions
from matnet_jax.model import MAT, PlainClassifier
from matnet_jax.train.plan import build_ascent, build_optimizer, build_plan

ROOT = Path(__file__).parents[1]


def load(name: Any) -> Any:
    spec = importlib.util.spec_from_file_location(name, ROOT / "configs" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.get_config()


def steps(duration: Any) -> Any:
    return duration_in_steps(duration, steps_per_epoch=10, batch_size=8)


def runnable() -> Any:
    config = default_config()
    config.data.dir = "records"
    return config


CONFIGS = (
    "demo",
    "ffpp",
    "ffpp_c40",
    "ffpp_released",
    "ffpp_released_pretrain",
    "mat_sbi",
    "sbi_b4",
    "sbi_lite0",
)


@pytest.mark.parametrize("name", CONFIGS)
def test_the_configs_that_come_with_the_project_are_valid(name: Any) -> None:
    config = load(name)
    validate(config)
    assert json.loads(config.to_json_best_effort())["recipe"] == config.recipe


def test_ffpp_is_the_papers_training() -> None:
    config = load("ffpp")
    model = build_model(config)
    assert (model.backbone, model.image_size, model.num_attentions) == ("efficientnet-b4", 380, 4)
    assert (model.texture_stage, model.attention_stage) == ("L2", "L5")
    plan = build_plan(config, steps_per_epoch=100)
    objective = build_objective(config, model, plan.steps)
    assert objective.losses == LossOptions()  # whose defaults are the paper's
    assert objective.agda == AGDAOptions()
    assert config.optimizer.name == "adam" and config.optimizer.weight_decay == 1e-6
    assert float(plan.learning_rate(999)) == pytest.approx(1e-3)
    assert [round(float(objective.center_rate(s)), 6) for s in (0, 99, 100, 200)] == [
        0.05,
        0.05,
        0.045,
        0.0405,
    ]
    assert plan.validate_every == plan.checkpoint_every == 100


def test_plain_classifier() -> None:
    config = runnable()
    config.model.kind = "classifier"  # as version 0.1 had it
    config.model.backbone = "xception"
    model = build_model(config)
    assert isinstance(model, PlainClassifier) and model.image_size == 299
    assert build_objective(upgraded(config), model, steps) == CrossEntropy()


def test_overrides_reach_the_model() -> None:
    config = runnable()
    config.model.width_coefficient = 0.5
    config.model.batch_norm_momentum = 0.9
    config.model.bn_group_size = 8
    config.losses.auxiliary = "ams"
    model = build_model(config)
    assert isinstance(model, MAT) and model.ams
    assert (model.width_coefficient, model.batch_norm_momentum) == (0.5, 0.9)
    assert model.bn_group_size == 8


def test_the_optimizer_and_the_schedule_take_every_field(monkeypatch: pytest.MonkeyPatch) -> None:
    names = {"name": "sgd", "learning_rate": 0.3}
    of_optimizer = {"weight_decay": 0.1, "b1": 0.8, "b2": 0.95, "eps": 1e-3, "momentum": 0.7}
    of_optimizer |= {"nesterov": True, "clip_norm": 2.0}
    paths = {"freeze": ("features",), "unfreeze": ("features/*norm*",)}
    of_schedule = {"decay_rate": 0.25, "final_fraction": 0.125, "power": 2.0}
    in_words = {"schedule": "step", "warmup": "3 steps", "decay_every": "2 epochs"}
    in_words |= {"decay_at": ("1 epoch", "25 steps"), "hold": "4 steps"}
    given = names | of_optimizer | paths | of_schedule | in_words | {"sam_rho": 0.05}
    config = runnable()
    default = config.optimizer.to_dict()
    assert given.keys() == default.keys()
    assert all(value != default[name] for name, value in given.items())
    config.optimizer.update(given)
    config.train.duration = "5 epochs"
    calls: dict[str, Any] = {}

    def recorded(name: str) -> Any:
        def record(*args: Any, **kwargs: Any) -> str:
            calls[name] = args, kwargs
            return name

        return record

    for name in ("create_schedule", "create_optimizer", "create_ascent"):
        monkeypatch.setattr(matnet_jax.train.plan, name, recorded(name))
    rates = build_plan(config, steps_per_epoch=10).learning_rate
    assert build_optimizer(config, rates) == "create_optimizer"
    assert build_ascent(config) == "create_ascent"
    in_steps = {"total_steps": 50, "warmup_steps": 3, "decay_steps": 20, "hold_steps": 4}
    in_steps |= {"decay_at": (10, 25)}
    assert calls == {
        "create_schedule": (("step", 0.3), of_schedule | in_steps),
        "create_optimizer": (("sgd", "create_schedule"), of_optimizer | paths),
        "create_ascent": ((0.05,), paths),
    }


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("model.num_attentions", 0, "config.model.num_attentions must be at least 1; got 0"),
        ("train.batch_size", 0, "config.train.batch_size must be at least 1"),
        ("train.duration", "10", "config.train.duration must be above 0, such as '10 epochs'"),
        ("train.duration", "0 epochs", "config.train.duration must be above 0"),
        ("optimizer.warmup", "2 hours", "a number and a unit"),
        ("optimizer.learning_rate", -1.0, "config.optimizer.learning_rate must be above 0"),
        ("optimizer.learning_rate", float("nan"), "must be a finite number; got nan"),
        ("optimizer.name", "adan", "config.optimizer.name must be one of adam, adamw, sgd"),
        ("model.dtype", "float16", "one of float32, bfloat16"),
        ("model.bn_group_size", 0, "config.model.bn_group_size must be at least 1"),
        ("model.bn_group_size", 5, "bn_group_size = 5 does not divide the 48 images"),
        ("agda.kernel_size", 10, "config.agda.kernel_size must be odd"),
        ("agda.threshold", (0.6, 0.4), "config.agda.threshold must be two of 0 to 1, rising"),
        ("data.dir", "", "config.data.dir is empty"),
        ("data.source", "videos", "one of records, synthetic"),
        ("recipe", "papre", "config.recipe is one of paper"),
    ],
)
def test_values_out_of_range_are_named(field: Any, value: Any, message: Any) -> None:
    config = runnable()
    config.update_from_flattened_dict({field: value})
    with pytest.raises(ConfigError) as error:
        validate(config)
    assert message in str(error.value)


def test_unknown_fields_get_the_closest_name_and_all_problems_are_listed() -> None:
    config = runnable()
    config.unlock()
    config.train.batch_sise = 3
    config.optimizer.learnin_rate = 1e-3
    del config.checkpoint["keep"]
    config.seed = -1
    with pytest.raises(ConfigError) as error:
        validate(config)
    text = str(error.value)
    assert "no field config.train.batch_sise; did you mean config.train.batch_size?" in text
    assert "did you mean config.optimizer.learning_rate?" in text
    assert "config.checkpoint.keep is missing" in text
    assert "config.seed must be from 0" in text


def test_wrong_types_are_named() -> None:
    config = runnable()
    with config.ignore_type():
        config.train.batch_size = 48.0
        config.model.backbone = 4
        config.optimizer.learning_rate = 1  # a whole number is a number
    with pytest.raises(ConfigError) as error:
        validate(config)
    text = str(error.value)
    assert "config.train.batch_size must be a whole number; got 48.0" in text
    assert "config.model.backbone must be a string; got 4" in text
    assert "learning_rate" not in text


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"model.backbone": "efficientnet-b9"}, "unknown backbone 'efficientnet-b9'; available"),
        ({"model.attention_stage": "L9"}, "no stage 'L9'"),
        ({"model.image_size": 32, "model.attention_stage": "L6"}, "too small: attention maps of"),
        ({"model.image_size": 32, "agda.scale": 0.1}, "too small for AGDA"),
    ],
)
def test_what_the_network_refuses_is_a_config_error(values: Any, message: Any) -> None:
    config = runnable()
    config.model.backbone = "efficientnet-b0"
    config.update_from_flattened_dict(values)
    validate(config)
    with pytest.raises(ConfigError, match=message):
        build_model(config)


def test_one_map_with_what_the_paper_leaves_out_is_warned_of() -> None:
    config = runnable()
    config.model.backbone, config.model.num_attentions = "efficientnet-b0", 1
    with pytest.warns(UserWarning, match="neither RIL nor AGDA"):
        build_model(config)
    config.losses.auxiliary = config.agda.mode = "none"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        build_model(config)


def test_changes_lists_the_fields_that_differ() -> None:
    before, after = runnable(), runnable()
    after.optimizer.learning_rate = 0.5
    after.agda.threshold = (0.4, 0.6)
    saved = json.loads(before.to_json_best_effort())  # tuples are lists there
    assert changes(saved, before) == {}
    assert changes(saved, after) == {
        "agda.threshold": "config.agda.threshold: [0.5, 0.5] before, [0.4, 0.6] now",
        "optimizer.learning_rate": "config.optimizer.learning_rate: 0.001 before, 0.5 now",
    }


def test_the_released_recipe() -> None:
    config = load("ffpp_released")
    model = build_model(config)
    assert (model.padding, model.texture_version, model.ril_version) == ("nominal", "v2", "v2")
    plan = build_plan(config, steps_per_epoch=10)
    objective = build_objective(config, model, plan.steps)
    options = objective.losses
    assert (options.auxiliary_weight, options.augmented, options.match) == (0.5, 1.0, 0.1)
    assert (options.inner_margin, options.outer_margin) == ((0.1, -2.0), 0.8)
    assert objective.agda == RELEASED
    assert objective.move_twice
    assert plan.total_steps == 300
    rates = [float(plan.learning_rate(epoch * 10)) for epoch in (0, 4, 5, 10)]
    assert rates == pytest.approx([1e-4, 1e-4, 5e-5, 2.5e-5])


def test_the_first_released_stage_is_a_plain_classifier() -> None:
    config = load("ffpp_released_pretrain")
    model = build_model(config)
    assert isinstance(model, PlainClassifier)
    assert build_objective(config, model, steps) == CrossEntropy()


def test_fields_that_weights_brought_are_adopted_where_the_config_says_nothing() -> None:
    config = runnable()
    config.model.std = (0.5, 0.5, 0.5)
    trained = json.loads(runnable().to_json_best_effort())
    trained["model"] |= {"mean": [0.485, 0.456, 0.406], "std": [0.2, 0.2, 0.2], "backbone": "other"}
    adopted = adopt_model_fields(config, trained)
    assert adopted.model.mean == (0.485, 0.456, 0.406)
    assert adopted.model.std == (0.5, 0.5, 0.5) and adopted.model.backbone == "efficientnet-b4"
    assert config.model.mean is None
    assert build_model(adopted).preprocess.mean == (0.485, 0.456, 0.406)
