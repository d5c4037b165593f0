"""Facts about the compiled step: what it talks about with its host and with other devices."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from tiny import QUICK_COMPILE, batch, objective, patch_model, tiny_model

from matnet_jax.detectors.mat.agda import AGDAOptions
from matnet_jax.runtime.hlo import collectives, donated, host_transfers
from matnet_jax.runtime.sharding import (
    batch_sharded,
    data_mesh,
    global_batch,
    replicate,
    replicated,
)
from matnet_jax.train.state import create_train_state
from matnet_jax.train.step import make_train_step

pytestmark = pytest.mark.usefixtures("optimized")


def whole_step(model: Any) -> Any:
    """The step on 8 devices, jitted, and its arguments: state, batch, key."""
    mesh = data_mesh()
    tx = optax.adam(1e-3)
    loss = objective(model, agda=AGDAOptions(), center_rate=lambda step: 0.05 * 0.9 ** (step // 2))
    function = make_train_step(model, loss, tx)
    jitted = jax.jit(
        function,
        donate_argnums=0,
        in_shardings=(replicated(mesh), batch_sharded(mesh), replicated(mesh)),
        out_shardings=replicated(mesh),
        compiler_options=QUICK_COMPILE,
    )
    state = replicate(create_train_state(model, tx, 0), mesh)
    key = replicate(jax.random.key(0), mesh)
    return jitted, state, global_batch(batch(16), mesh), key


def compiled_text(step: Any) -> str:
    jitted, *arguments = step
    return jitted.lower(*arguments).compile().as_text()


@pytest.fixture(scope="module")
def step() -> Any:
    return whole_step(tiny_model())


@pytest.fixture(scope="module")
def text(step: Any) -> Any:
    return compiled_text(step)


def test_nothing_goes_to_the_host(text: Any) -> None:
    assert host_transfers(text) == []


def test_the_state_is_donated(text: Any, step: Any) -> None:
    _, state, *_ = step
    assert donated(text) == len(jax.tree.leaves(state))


def test_devices_exchange_sums_alone(text: Any, step: Any) -> None:
    """Gradients, and of each batch norm its statistics and their gradients, in both passes.

    The CPU's compiler sums each pass's gradients over devices, those of GPU and TPU their sum.
    """
    _, state, *_ = step
    found = collectives(text)
    assert set(found) == {"all-reduce"}
    gradients = sum(leaf.size * 4 for leaf in jax.tree.leaves(state.params))
    statistics = sum(leaf.size * 4 for leaf in jax.tree.leaves(state.collections["batch_stats"]))
    # Forward and backward in two passes: four times the statistics; a few scalars and centers.
    assert gradients <= found["all-reduce"].bytes <= 2 * gradients + 6 * statistics + 20_000


def test_groups_within_a_device_save_the_exchange_of_statistics() -> None:
    """What is left does not grow with the layers: gradients, running statistics, metrics."""
    one_a_layer, in_groups = (
        collectives(compiled_text(whole_step(patch_model(tiny_model(bn_group_size=size)))))
        for size in (None, 2)
    )
    assert set(one_a_layer) == set(in_groups) == {"all-reduce"}
    assert in_groups["all-reduce"].count < one_a_layer["all-reduce"].count / 2


def test_it_compiles_once_whatever_the_step(step: Any) -> None:
    jitted, state, images, key = step
    for _ in range(3):  # over a decay of α
        state, metrics = jitted(state, images, key)
    assert jitted._cache_size() == 1 and np.isfinite(metrics["loss"])


def test_collectives_are_counted_with_their_bytes() -> None:
    found = collectives(
        "HloModule m\n"
        "  %a = (f32[4,2]{1,0}, bf16[3]{0}) all-reduce(%x, %y), channel_id=1\n"
        "  ROOT %b = f32[8]{0} all-gather-start(%z)\n"
        "  %c = f32[] add(%p, %q)\n"
    )
    assert found["all-reduce"].count == 1 and found["all-reduce"].bytes == 4 * 2 * 4 + 3 * 2
    assert found["all-gather"].bytes == 16


def test_a_callback_is_seen() -> None:
    def talks(x: Any) -> Any:
        jax.debug.print("{}", x)
        return x + 1

    compiled = jax.jit(talks).lower(jnp.ones(3)).compile()
    assert host_transfers(compiled.as_text())
