"""Training end to end with a tiny network: files, exact continuation, refusals, a real kill."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import chex
import jax
import numpy as np
import pytest
from tiny_source import tiny_source
from workdirs import fake_devices, tiny_config

import matnet_jax.evaluation.run
import matnet_jax.train.run
from matnet_jax.checkpoints.orbax import CheckpointMismatchError, Checkpoints
from matnet_jax.config.build import build_model
from matnet_jax.detectors.variables import init_variables
from matnet_jax.metrics.history import read_table
from matnet_jax.pretrained.trained import load_trained
from matnet_jax.train.run import starting_weights, train

JOB = [sys.executable, str(Path(__file__).parent / "job.py"), "classifier"]


@pytest.fixture
def tiny_data(monkeypatch: pytest.MonkeyPatch, two_devices: None, no_charts: Any) -> None:
    for module, name in (
        (matnet_jax.train.run, "open_source"),
        (matnet_jax.evaluation.run, "open_evaluation"),
    ):
        monkeypatch.setattr(module, name, lambda config, split, *sees: tiny_source(split))


def parameters(workdir: Any, step: Any = "latest") -> Any:
    """All arrays of a checkpoint, by reading it as what it says it is."""
    with Checkpoints(workdir / "checkpoints", read_only=True) as checkpoints:
        step = checkpoints.resolve(step)
        restored = checkpoints._manager.restore(step)
    return jax.tree.leaves((restored["model"], restored["optimizer"]))


def test_a_run_and_its_exact_continuation(tiny_data: Any, tmp_path: Path) -> None:
    result = train(tiny_config(), tmp_path / "whole")
    assert result["step"] == 6 and result["best_step"] in (3, 6)
    workdir = tmp_path / "whole"
    assert json.loads((workdir / "config.json").read_text())["train"]["batch_size"] == 8
    assert "jax" in json.loads((workdir / "versions.json").read_text())
    assert list((workdir / "tb").glob("events*"))
    rows = read_table(workdir / "metrics.csv").rows
    train_rows = [row for row in rows if row["split"] == "train"]
    assert [int(row["step"]) for row in train_rows] == [2, 4, 6]
    for name in ("loss", "cross_entropy", "ril", "augmented_cross_entropy", "grad_norm"):
        assert all(np.isfinite(float(row[name])) for row in train_rows), name
    # An epoch is three steps: α = 0.05 in the first, 0.045 in the second.
    rates = [float(row["center_rate"]) for row in train_rows]
    np.testing.assert_allclose(rates, [0.05, (0.05 + 0.045) / 2, 0.045], rtol=1e-6)
    validations = [row for row in rows if row["split"] == "val"]
    assert [int(row["step"]) for row in validations] == [3, 6]
    assert 0 <= float(validations[0]["video_auc"]) <= 1
    assert float(validations[1]["center_distance"]) > 0

    # A first call that ends at step 3, between two logs, and a second one that goes on.
    first = tiny_config(**{"train.duration": "3 steps", "train.log_every": "7 steps"})
    train(first, tmp_path / "two")
    with pytest.warns(UserWarning, match="changed values: config.train.duration: '3 steps' before"):
        train(tiny_config(), tmp_path / "two")
    for one, other in zip(parameters(workdir), parameters(tmp_path / "two"), strict=True):
        np.testing.assert_array_equal(one, other)


def test_what_cannot_run_is_said_before_anything_is_written(tiny_data: Any, tmp_path: Path) -> None:
    for overrides, message in (
        ({"model.num_attentions": 0}, "num_attentions"),
        ({"train.batch_size": 9}, "config.train.batch_size = 9.*divisible by the 2.*8 or 10"),
        ({"model.attention_stage": "L9"}, "no stage 'L9'"),
        ({"agda.kernel_size": 31}, "too small for AGDA"),
    ):
        with pytest.raises(ValueError, match=message):
            train(tiny_config(**overrides), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_workdir_of_another_config_is_refused_with_the_differences(
    tiny_data: Any, tmp_path: Path
) -> None:
    train(tiny_config(**{"train.duration": "2 steps"}), tmp_path)
    before = (tmp_path / "metrics.csv").read_bytes(), (tmp_path / "config.json").read_bytes()
    with pytest.raises(CheckpointMismatchError) as error:
        train(tiny_config(**{"model.num_attentions": 3, "losses.outer_margin": 0.5}), tmp_path)
    assert "config.model.num_attentions: 2 before, 3 now" in str(error.value)
    assert "config.losses.outer_margin: 0.2 before, 0.5 now" in str(error.value)
    assert (
        (tmp_path / "metrics.csv").read_bytes(),
        (tmp_path / "config.json").read_bytes(),
    ) == before


def test_what_tensorboard_shows(tiny_data: Any, tmp_path: Path) -> None:
    import tensorflow as tf

    overrides = {"train.accumulate": 2, "train.on_nonfinite": "skip", "train.duration": "3 steps"}
    train(tiny_config(**overrides), tmp_path, profile_steps="2:3")
    shown = {}
    for path in map(str, (tmp_path / "tb").glob("events*")):
        for record in tf.data.TFRecordDataset(path).as_numpy_iterator():
            for value in tf.compat.v1.Event.FromString(record).summary.value:
                shown[value.tag] = value
    scalars = {"train/images_per_second", "train/step_seconds", "train/data_wait_fraction"}
    assert scalars | {"val/center_distance", "train/skipped_steps"} <= set(shown)
    picture = shown["val/attention"].image
    # A row a face, of each of the five videos one or none; two maps beside the face.
    assert picture.width == 3 * 112 and picture.height in {112 * n for n in range(2, 9)}
    assert list((tmp_path / "profile").rglob("*.xplane.pb"))
    with pytest.raises(ValueError, match="like 10:15"):
        train(tiny_config(), tmp_path / "other", profile_steps="15:10")


def test_a_field_that_an_older_version_had_not_counts_as_its_default(tmp_path: Path) -> None:
    now = json.loads(tiny_config().to_json_best_effort())
    older = json.loads(json.dumps(now))
    del older["train"]["accumulate"], older["data"]["frames_per_video"]
    matnet_jax.train.run._check_config(older, now, tmp_path)
    now["train"]["accumulate"] = 2
    with pytest.raises(CheckpointMismatchError, match="accumulate: 1 before, 2 now"):
        matnet_jax.train.run._check_config(older, now, tmp_path)


def test_averaged_parameters_and_a_frozen_backbone(tiny_data: Any, tmp_path: Path) -> None:
    overrides = {"train.ema_decay": 0.5, "optimizer.freeze": ("features",)}
    config = tiny_config("classifier", **overrides, **{"optimizer.learning_rate": 0.1})
    train(config, tmp_path)
    with Checkpoints(tmp_path / "checkpoints", read_only=True) as checkpoints:
        saved = checkpoints.read_model("latest")
    params, average = saved["params"], saved["ema_params"]
    start = init_variables(build_model(config), config.seed)["params"]
    chex.assert_trees_all_equal(params["features"], average["features"], start["features"])
    heads = [
        [x for key in sorted(tree) if key != "features" for x in jax.tree.leaves(tree[key])]
        for tree in (params, average, start)
    ]
    for trained, mean, initial in zip(*heads, strict=True):
        assert not np.array_equal(mean, trained) and not np.array_equal(mean, initial)
    loaded = load_trained(tmp_path, "latest")
    assert loaded.step == 6
    chex.assert_trees_all_equal(loaded.variables["params"], average)
    asked = {"checkpoint": "latest", "split": "val", "engine": "jax"}
    metrics = matnet_jax.evaluation.run.evaluate(config, tmp_path, **asked)
    assert metrics["checkpoint"]["step"] == 6
    validated = read_table(tmp_path / "metrics.csv").rows[-1]
    assert float(validated["loss"]) == pytest.approx(metrics["loss"], rel=1e-5)
    overrides = {"optimizer.freeze": ("backbone",)}
    with pytest.raises(ValueError, match="no parameter lies under 'backbone'; available: features"):
        train(tiny_config("classifier", **overrides), tmp_path / "other")


def test_the_config_reaches_the_step_the_checkpoints_and_the_watchdog(
    tiny_data: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: dict[str, tuple[Any, Any]] = {}

    def recorded(name: str) -> None:
        real = getattr(matnet_jax.train.run, name)

        def record(*args: Any, **kwargs: Any) -> Any:
            calls[name] = args, kwargs
            return real(*args, **kwargs)

        monkeypatch.setattr(matnet_jax.train.run, name, record)

    for name in ("build_objective", "build_ascent", "build_stop_frozen"):
        monkeypatch.setattr(matnet_jax.train.run, name, lambda *_, name=name: name)
    for name in ("make_train_step", "Checkpoints", "Watchdog"):
        recorded(name)
    # What is recorded needs no step.
    monkeypatch.setattr(matnet_jax.train.run.Loop, "run", lambda self, state, *_: state)
    config = tiny_config("classifier")
    config.train.update(accumulate=2, ema_decay=0.5, on_nonfinite="skip", hang_seconds=99.0)
    config.checkpoint.update(keep=3, keep_best=4)
    config.data.balance = "batch"
    train(config, tmp_path)
    (model, objective, _), options = calls["make_train_step"]
    assert model == build_model(config) and objective == "build_objective"
    assert options == {
        "ema_decay": 0.5,
        "accumulate": 2,
        "group": 2,
        "ascent": "build_ascent",
        "skip_nonfinite": True,
        "stop_frozen": "build_stop_frozen",
    }
    assert calls["Checkpoints"] == ((tmp_path / "checkpoints",), {"keep": 3, "keep_best": 4})
    assert calls["Watchdog"] == ((tmp_path / ".processes", 0), {"seconds": 99.0})


def start(workdir: Any) -> Any:
    fields = ('train.duration="20 steps"', 'optimizer.schedule="cosine"')
    return subprocess.Popen(
        [*JOB, str(workdir), *fields],
        env={**os.environ, "XLA_FLAGS": fake_devices(1)},
        stderr=subprocess.PIPE,
        text=True,
    )


def logged_step(workdir: Any) -> Any:
    rows = read_table(workdir / "metrics.csv").rows if (workdir / "metrics.csv").exists() else []
    return int(rows[-1]["step"]) if rows else 0


def test_killed_runs_end_as_an_uninterrupted_one(tmp_path: Path) -> None:
    whole = start(tmp_path / "whole")
    assert whole.wait() == 0, whole.stderr.read()
    for kill_after in (5, 12):
        process = start(tmp_path / "killed")
        while logged_step(tmp_path / "killed") < kill_after and process.poll() is None:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
    # And in the middle of a save.
    process = start(tmp_path / "killed")
    saves = tmp_path / "killed" / "checkpoints"
    while not list(saves.glob("*.orbax-checkpoint-tmp*")) and process.poll() is None:
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    last = start(tmp_path / "killed")
    assert last.wait() == 0, last.stderr.read()
    for name in ("metrics.csv", "config.json"):
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    pairs = zip(parameters(tmp_path / "killed"), parameters(tmp_path / "whole"), strict=True)
    assert all(np.array_equal(one, other) for one, other in pairs)


def test_a_full_disk_stops_with_a_message_and_leaves_the_last_checkpoint(tmp_path: Path) -> None:
    """Files of a limited size, as on a disk that is full."""
    job = [*JOB, str(tmp_path / "run")]
    environment = {**os.environ, "XLA_FLAGS": fake_devices(1)}
    common = {"env": environment, "capture_output": True, "text": True, "check": False}
    done = subprocess.run([*job, 'train.duration="2 steps"'], **common)
    assert done.returncode == 0, done.stderr

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))

    failed = subprocess.run([*job, 'train.duration="4 steps"'], preexec_fn=limit, **common)
    assert failed.returncode == 1
    assert "could not be written" in failed.stderr
    with Checkpoints(tmp_path / "run/checkpoints", read_only=True) as checkpoints:
        assert checkpoints.resolve("latest") == 2 and checkpoints.read_model("latest")["params"]
    done = subprocess.run([*job, 'train.duration="4 steps"'], **common)
    assert done.returncode == 0, done.stderr


def test_training_starts_from_an_earlier_run_and_goes_on_without_it(
    tiny_data: Any, tmp_path: Path
) -> None:
    first = {"train.duration": "2 steps", "validation.every": "2 steps"}
    second = {"train.duration": "4 steps", "train.log_every": "1 step"}
    plain = tiny_config("classifier", **first)
    plain.model.mean = (0.4, 0.4, 0.4)
    train(plain, tmp_path / "plain")
    config = tiny_config(**second, **{"init.path": str(tmp_path / "plain")})
    config.optimizer.freeze = ("features",)
    train(config, tmp_path / "mat")
    with Checkpoints(tmp_path / "plain/checkpoints", read_only=True) as checkpoints:
        given = checkpoints.read_model("latest")["params"]["features"]
    with Checkpoints(tmp_path / "mat/checkpoints", read_only=True) as checkpoints:
        trained = checkpoints.read_model("latest")["params"]["features"]
    jax.tree.map(np.testing.assert_array_equal, given, trained)
    # The weights' mean of pixels came along, and evaluation needs not be told.
    saved = json.loads((tmp_path / "mat/config.json").read_text())
    assert saved["model"]["mean"] == [0.4, 0.4, 0.4] and config.model.mean is None
    assert matnet_jax.evaluation.run.evaluate(config, tmp_path / "mat")["video"]["n_real"] == 2
    # What the run started from may be gone when it continues.
    (tmp_path / "plain").rename(tmp_path / "gone")
    config.train.duration = "5 steps"
    with pytest.warns(UserWarning, match="config.train.duration"):
        assert train(config, tmp_path / "mat")["step"] == 5


def test_weights_that_are_not_there(tiny_data: Any, tmp_path: Path) -> None:
    with pytest.raises(OSError, match="nowhere"):
        train(tiny_config(**{"init.path": str(tmp_path / "nowhere")}), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_first_save_that_was_cut_off_is_no_checkpoint(tmp_path: Path) -> None:
    """The weights that training starts from are read again, and not drawn at random."""
    config = tiny_config(**{"init.path": str(tmp_path / "weights.safetensors")})
    (tmp_path / "config.json").write_text(config.to_json_best_effort())
    (tmp_path / "checkpoints" / "2.orbax-checkpoint-tmp").mkdir(parents=True)
    with pytest.raises(OSError, match=r"weights\.safetensors"):
        starting_weights(config, tmp_path)
    (tmp_path / "checkpoints" / "2").mkdir()
    assert starting_weights(config, tmp_path)[1] is None


def test_a_part_that_is_frozen_at_random_is_told(tmp_path: Path) -> None:
    fields = {"optimizer.freeze": ("features",), "data.source": "records", "data.dir": "d"}
    with pytest.warns(UserWarning, match="keeps features as they start, and without"):
        starting_weights(tiny_config(**fields), tmp_path)
