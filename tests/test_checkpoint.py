"""Checkpoints: what is kept, what is chosen, and what happens when one is broken or foreign."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from matnet_jax.checkpoints.orbax import CheckpointError, CheckpointMismatchError, Checkpoints
from matnet_jax.checkpoints.state import TrainState
from matnet_jax.runtime.sharding import data_mesh, replicated
from matnet_jax.train.optim import create_optimizer


def make_state(
    value: float = 0.0, *, width: int = 8, name: str = "kernel", ema: bool = False
) -> Any:
    params = {
        "backbone": {name: jnp.full((3, width), value)},
        "head": {"bias": jnp.full((2,), value)},
    }
    tx = create_optimizer("adam", 0.1, weight_decay=1e-6, freeze=("head",), clip_norm=1.0)
    return TrainState(
        step=jnp.int32(value),
        params=params,
        opt_state=tx.init(params),
        collections={
            "batch_stats": {"mean": jnp.full((width,), value)},
            "feature_centers": {"centers": jnp.full((4, 5), value)},
        },
        ema_params=params if ema else None,
    )


def abstract(state: Any) -> Any:
    sharding = replicated(data_mesh())
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding), state)


def assert_equal(a: Any, b: Any) -> None:
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        np.testing.assert_array_equal(np.asarray(x), np.asarray(y))
        assert x.dtype == y.dtype


def save_all(directory: Any, metrics: Any, **kwargs: Any) -> None:
    with Checkpoints(directory, **kwargs) as checkpoints:
        for step, value in metrics.items():
            checkpoints.save(
                step,
                make_state(float(step)),
                metadata={"config": {"seed": step}},
                metrics=None if value is None else {"video_auc": value},
            )


def test_keeps_the_latest_and_the_best_and_restores_them_exactly(tmp_path: Path) -> None:
    save_all(tmp_path / "c", {1: 0.1, 2: 0.9, 3: None, 4: 0.5, 5: 0.2}, keep=2)
    with Checkpoints(tmp_path / "c", read_only=True) as checkpoints:
        assert checkpoints.steps == [2, 4, 5]
        assert checkpoints.resolve("latest") == 5
        assert checkpoints.resolve("best") == checkpoints.best_step == 2
        assert checkpoints.resolve("4") == checkpoints.resolve(4) == 4
        restored = checkpoints.restore("best", abstract(make_state()))
        assert isinstance(restored, TrainState)
        assert_equal(restored, make_state(2.0))
        assert checkpoints.metadata("best") == {"config": {"seed": 2}}
        with pytest.raises(CheckpointError, match=r"no checkpoint '3'.*latest, best, 2, 4, 5"):
            checkpoints.resolve("3")


def test_a_relative_directory_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    save_all("run/checkpoints", {1: 0.5})
    assert (tmp_path / "run/checkpoints/1").is_dir()


def test_saving_survives_donation_of_the_state(tmp_path: Path) -> None:
    double = jax.jit(lambda s: jax.tree.map(lambda x: x * 2, s), donate_argnums=0)
    state = double(make_state(1.0))
    with Checkpoints(tmp_path / "c") as checkpoints:
        checkpoints.save(1, state, metadata={})
        for _ in range(20):
            state = double(state)
        checkpoints.wait()
        restored = checkpoints.restore(1, abstract(make_state()))
    np.testing.assert_array_equal(restored.params["backbone"]["kernel"], 2.0)


def test_the_network_alone_is_restored_whatever_the_optimiser(tmp_path: Path) -> None:
    save_all(tmp_path / "c", {7: 0.5})
    state = make_state()
    wanted = {
        "params": state.params,
        **state.collections,
        "ema_params": None,
    }
    with Checkpoints(tmp_path / "c", read_only=True) as checkpoints:
        model = checkpoints.restore_model("latest", abstract(wanted))
    assert set(model) == set(wanted)
    np.testing.assert_array_equal(model["feature_centers"]["centers"], 7.0)
    np.testing.assert_array_equal(model["params"]["head"]["bias"], 7.0)


def test_best_without_any_validation_is_the_latest_and_says_so(tmp_path: Path) -> None:
    save_all(tmp_path / "c", {1: None, 2: None, 3: None, 4: None}, keep=2)
    with Checkpoints(tmp_path / "c", read_only=True) as checkpoints:
        assert checkpoints.steps == [3, 4]
        assert checkpoints.best_step is None
        with pytest.warns(UserWarning, match="no checkpoint .* has a validation video_auc"):
            assert checkpoints.resolve("best") == 4


def test_empty_and_absent_directories(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="does not exist; train first"):
        Checkpoints(tmp_path / "none", read_only=True)
    with Checkpoints(tmp_path / "c") as checkpoints:
        assert checkpoints.restore_latest(abstract(make_state())) is None
        with pytest.raises(CheckpointError, match="train first"):
            checkpoints.resolve("latest")


def truncate(checkpoint: Any) -> None:
    for file in checkpoint.rglob("*"):
        if file.is_file() and file.parent.name == "d":
            file.write_bytes(file.read_bytes()[:10])


def remove_model(checkpoint: Any) -> None:
    shutil.rmtree(checkpoint / "model")


def remove_manifest(checkpoint: Any) -> None:
    (checkpoint / "model" / "manifest.ocdbt").unlink()


def remove_metadata(checkpoint: Any) -> None:
    (checkpoint / "metadata" / "metadata").write_text("{")


@pytest.mark.parametrize("damage", [truncate, remove_model, remove_manifest, remove_metadata])
def test_a_broken_newest_checkpoint_gives_way_to_the_one_before(
    tmp_path: Path, damage: Any
) -> None:
    save_all(tmp_path / "c", {1: 0.5, 2: 0.6}, keep=3)
    damage(tmp_path / "c" / "2")
    with Checkpoints(tmp_path / "c", keep=3) as checkpoints:
        with pytest.warns(UserWarning, match="c/2 cannot be read .*; going back"):
            state, metadata = checkpoints.restore_latest(abstract(make_state()))
        assert metadata == {"config": {"seed": 1}}
        assert_equal(state, make_state(1.0))
        assert checkpoints.steps == [1]
        assert (tmp_path / "c_unreadable" / "2").is_dir()
        checkpoints.save(2, make_state(20.0), metadata={}, metrics={"video_auc": 0.7})
        checkpoints.wait()
        assert_equal(checkpoints.restore("best", abstract(make_state())), make_state(20.0))


def test_when_all_are_broken_it_says_so(tmp_path: Path) -> None:
    save_all(tmp_path / "c", {1: 0.5})
    truncate(tmp_path / "c" / "1")
    with Checkpoints(tmp_path / "c") as checkpoints:
        with pytest.raises(CheckpointError, match="c/1 cannot be read"):
            checkpoints.restore_latest(abstract(make_state()))


def test_what_a_killed_save_left_is_ignored_and_cleaned(tmp_path: Path) -> None:
    save_all(tmp_path / "c", {1: 0.5})
    left = tmp_path / "c" / "2.orbax-checkpoint-tmp-7"
    shutil.copytree(tmp_path / "c" / "1", left)
    with Checkpoints(tmp_path / "c") as checkpoints:
        assert checkpoints.steps == [1]
        checkpoints.save(3, make_state(3.0), metadata={})
    assert not left.exists()


def test_another_network_is_refused_with_the_differences(tmp_path: Path) -> None:
    save_all(tmp_path / "c", {1: 0.5})
    with Checkpoints(tmp_path / "c") as checkpoints:
        with pytest.raises(CheckpointMismatchError) as wider:
            checkpoints.restore_latest(abstract(make_state(width=9)))
        text = str(wider.value)
        assert "~ params/backbone/kernel: float32[3, 8] in the checkpoint, float32[3, 9]" in text
        assert "~ batch_stats/mean" in text
        assert "opt_state" in text  # the moments differ too
        with pytest.raises(CheckpointMismatchError) as renamed:
            checkpoints.restore("latest", abstract(make_state(name="weight")))
        assert "- params/backbone/kernel" in str(renamed.value)
        assert "+ params/backbone/weight" in str(renamed.value)
        with pytest.raises(CheckpointMismatchError, match=r"ema_params/head/bias.* is wanted"):
            checkpoints.restore("latest", abstract(make_state(ema=True)))

        def refuse(metadata: Any) -> None:
            raise CheckpointMismatchError(f"another seed: {metadata['config']['seed']}")

        with pytest.raises(CheckpointMismatchError, match="another seed: 1"):
            checkpoints.restore_latest(abstract(make_state()), check=refuse)
        assert checkpoints.steps == [1]  # nothing was set aside


def test_a_long_list_of_differences_is_cut(tmp_path: Path) -> None:
    save_all(tmp_path / "c", {1: 0.5})
    state = make_state()
    many = state.replace(params={**state.params, **{f"layer{i}": jnp.ones(1) for i in range(30)}})
    with Checkpoints(tmp_path / "c", read_only=True) as checkpoints:
        with pytest.raises(CheckpointMismatchError, match=r"30 differences(.|\n)*… and 10 more"):
            checkpoints.restore("latest", abstract(many))


def test_a_failed_write_is_said_and_leaves_the_last_one_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Checkpoints(tmp_path / "c") as checkpoints:
        checkpoints.save(1, make_state(1.0), metadata={})
        checkpoints.wait()

        def full(*_: Any, **__: Any) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(checkpoints._manager, "save", full)
        with pytest.raises(CheckpointError, match=r"No space left .* the last whole one: step 1"):
            checkpoints.save(2, make_state(2.0), metadata={})
        assert_equal(checkpoints.restore("latest", abstract(make_state())), make_state(1.0))
