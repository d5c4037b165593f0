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

import jax
import numpy as np
import pytest
from workdirs import fake_devices, tiny_config

import matnet_jax.evaluation.run
import matnet_jax.train.run
from data_pipeline.training.sources import ArraySource
from matnet_jax.checkpoints.orbax import CheckpointMismatchError, Checkpoints
from matnet_jax.metrics.history import read_table
from matnet_jax.train.run import starting_weights, train

ROOT = Path(__file__).parents[1]


def tiny_source(split: Any) -> Any:
    """Noise, with a grey patch on the fakes; one video has four frames."""
    count = {"train": 24, "val": 20, "test": 12}[split]
    rng = np.random.default_rng(count)
    images = rng.integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)
    label = (np.arange(count) // 4 % 2).astype(np.int32)
    images[label == 1, 8:24, 8:24] = 128
    video = np.array([f"{i // 4:03d}" for i in range(count)])
    return ArraySource(
        images,
        {
            "dataset": np.full(count, "tiny"),
            "subset": np.where(label == 1, "patch", "real"),
            "compression": np.full(count, "none"),
            "split": np.full(count, split),
            "video_id": video,
            "source_id": video,
            "frame": (np.arange(count) % 4).astype(np.int32),
            "face": np.zeros(count, np.int32),
            "label": label,
            "timestamp": np.arange(count, dtype=np.float32),
        },
    )


@pytest.fixture
def tiny_data(monkeypatch: pytest.MonkeyPatch, two_devices: None) -> None:
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
    config = tiny_config("classifier", **overrides)
    train(config, tmp_path)
    metrics = matnet_jax.evaluation.run.evaluate(config, tmp_path, checkpoint="latest")
    assert metrics["checkpoint"]["step"] == 6
    overrides = {"optimizer.freeze": ("backbone",)}
    with pytest.raises(ValueError, match="no parameter lies under 'backbone'; available: features"):
        train(tiny_config("classifier", **overrides), tmp_path / "other")


COMMAND = """
import sys
sys.path.insert(0, {tests!r})
import test_train, matnet_jax.train.run
matnet_jax.train.run.open_source = lambda config, split, *sees: test_train.tiny_source(split)
fields = {{"train.duration": "20 steps", "optimizer.schedule": "cosine"}}
config = test_train.tiny_config("classifier", **fields)
matnet_jax.train.run.train(config, sys.argv[1])
"""


def start(workdir: Any) -> Any:
    environment = dict(
        os.environ,
        PYTHONPATH=os.pathsep.join([str(ROOT), *sys.path]),
        XLA_FLAGS=fake_devices(1),
    )
    return subprocess.Popen(
        [sys.executable, "-c", COMMAND.format(tests=str(ROOT / "tests")), str(workdir)],
        env=environment,
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
    job = [sys.executable, str(ROOT / "tests" / "job.py"), "classifier", str(tmp_path / "run")]
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
