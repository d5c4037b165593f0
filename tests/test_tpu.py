"""The step compiled for a TPU slice that is not there: what only that compiler can tell."""

from __future__ import annotations

import importlib.util
import os
from typing import Any

import jax
import pytest
from tiny import SIZE, tiny_model

from benchmarks import network
from benchmarks.main_memory import traffic
from benchmarks.topology import slice_mesh
from matnet_jax.runtime.hlo import collectives, donated, host_transfers

pytestmark = [
    pytest.mark.usefixtures("optimized"),
    pytest.mark.skipif(
        importlib.util.find_spec("libtpu") is None and "TPU_LIBRARY_PATH" not in os.environ,
        reason="compiles with libtpu: make setup EXTRAS=test,tpu",
    ),
]


@pytest.fixture(scope="module")
def compiled() -> Any:
    """The whole step for four chips of v5e, statistics over each chip's two images."""
    mesh = slice_mesh("v5e:2x2")
    model = tiny_model(dtype=jax.numpy.bfloat16, bn_group_size=2)
    state = jax.eval_shape(lambda: network.initial_state(model))
    key = jax.eval_shape(lambda: jax.random.key(0))
    images = network.abstract(network.batch(2 * mesh.size, SIZE))
    return state, network.training_step(model, mesh).lower(state, images, key).compile()


def test_it_talks_to_no_host_and_writes_over_its_state(compiled: Any) -> None:
    state, program = compiled
    text = program.as_text()
    assert host_transfers(text) == []
    assert donated(text) == len(jax.tree.leaves(state))


def test_chips_exchange_gradients_once(compiled: Any) -> None:
    state, program = compiled
    found = collectives(program.as_text())
    assert set(found) == {"all-reduce"}
    gradients, statistics = (
        sum(leaf.size * 4 for leaf in jax.tree.leaves(tree))
        for tree in (state.params, state.collections["batch_stats"])
    )
    # Not in each pass, and beside them only running statistics, centers and metrics.
    assert gradients <= found["all-reduce"].bytes <= gradients + 4 * statistics + 20_000
    assert found["all-reduce"].count < 20


def test_memory_and_operations_are_told(compiled: Any) -> None:
    _, program = compiled
    memory, cost = program.memory_analysis(), program.cost_analysis()
    assert memory.temp_size_in_bytes > 0 and cost["flops"] > 0 and cost["bytes accessed"] > 0
    counted = traffic(program.as_text())
    assert counted.cycles > 0
    # What is in the chip's vector memory, tens of megabytes, is no traffic: of this network most.
    assert 0 < counted.bytes < cost["bytes accessed"]
