"""The same numbers on one and on eight devices."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import optax
import pytest
import tiny

from matnet_jax.detectors.mat.agda import RELEASED, AGDAOptions
from matnet_jax.detectors.mat.objective import LossOptions
from matnet_jax.runtime import sharding
from matnet_jax.train.state import create_train_state
from matnet_jax.train.step import make_train_step

RECIPES = {
    "batch statistics over groups": (
        tiny.patch_model(tiny.tiny_model(bn_group_size=2)),
        {"options": LossOptions(), "agda": AGDAOptions()},
    ),
    "paper": (
        # The real network: its convolutions' own gradients and batch statistics are sharded.
        tiny.tiny_model("paper"),
        {"options": LossOptions(), "agda": AGDAOptions()},
    ),
    "released": (
        tiny.patch_model(tiny.tiny_model("released")),
        {
            "options": LossOptions(
                auxiliary_weight=0.5, match=0.1, inner_margin=(0.1, -2.0), outer_margin=0.5
            ),
            "agda": RELEASED,
            "centers_move_twice": True,
        },
    ),
}


@pytest.mark.parametrize("recipe", RECIPES)
def test_same_numbers_on_one_and_on_eight_devices(recipe: Any) -> None:
    """Losses, parameters, centers and batch statistics over two steps."""
    assert jax.device_count() == 8, "tests/conftest.py asks for 8 CPU devices"
    (model, fields), tx, results = RECIPES[recipe], optax.sgd(0.05), []
    step = make_train_step(
        model, tiny.objective(model, center_rate=lambda step: 0.05 * 0.9**step, **fields), tx
    )
    step = jax.jit(step, donate_argnums=0, compiler_options=tiny.QUICK_COMPILE)
    weight = np.array([1, 1, 1, 1, 1, 1, 1, 0], np.float32)
    for devices in (jax.devices()[:1], jax.devices()):
        mesh = sharding.data_mesh(devices)
        state = sharding.replicate(create_train_state(model, tx, 0), mesh)
        root = sharding.replicate(jax.random.key(0), mesh)
        seen = []
        for i in range(2):
            batch = sharding.global_batch(tiny.batch(seed=i, weight=weight), mesh)
            state, metrics = step(state, batch, root)
            seen.append(metrics)
        assert state.collections["feature_centers"]["centers"].sharding.is_fully_replicated
        assert len(batch["image"].sharding.device_set) == len(devices)
        results.append(jax.device_get((seen, state)))
    (metrics_1, state_1), (metrics_8, state_8) = results
    for one, eight in zip(metrics_1, metrics_8, strict=True):
        assert one.keys() == eight.keys() and "ril" in one
        for name in one:
            assert eight[name] == pytest.approx(one[name], rel=1e-3, abs=1e-6), name
    assert np.abs(state_1.collections["feature_centers"]["centers"]).max() > 1e-3

    def close(path: Any, one: Any, eight: Any) -> None:
        error = np.abs(eight - one).max() / max(np.abs(one).max(), 1e-3)
        assert error < 1e-3, f"{jax.tree_util.keystr(path)}: {error:.1e}"

    jax.tree_util.tree_map_with_path(close, state_1, state_8)
