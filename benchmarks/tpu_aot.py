"""The training step compiled for a TPU slice, without one: memory, operations, communication.

    pip install 'matnet-jax[tpu]'
    python -m benchmarks.tpu_aot --topology=v5e:4x4 --per_chip=8 [--remat] [--dtype=bfloat16]

All figures are the compiler's; nothing runs. Takes minutes for B4.
"""

from __future__ import annotations

import os
import time

from absl import app, flags

from benchmarks.lines import emit

_TOPOLOGY = flags.DEFINE_string("topology", "v5e:4x4", "As JAX names slices.")
_PER_CHIP = flags.DEFINE_integer("per_chip", 8, "Images a chip.")
_BACKBONE = flags.DEFINE_string("backbone", "efficientnet-b4", "Of the network.")
_SIZE = flags.DEFINE_integer("image_size", 380, "Pixels.")
_DTYPE = flags.DEFINE_enum("dtype", "bfloat16", ["bfloat16", "float32"], "Of computation.")
_REMAT = flags.DEFINE_bool("remat", False, "Compute activations again.")
_GROUP = flags.DEFINE_integer("bn_group_size", None, "Images that share batch statistics.")


def main(_: list[str]) -> None:
    """Runs the command."""
    os.environ.setdefault("JAX_PLATFORMS", "cpu")  # what runs here; the TPU is only compiled for
    os.environ.setdefault("TPU_SKIP_MDS_QUERY", "1")
    import jax
    import jax.numpy as jnp
    import numpy as np
    import optax
    from jax.experimental import topologies
    from jax.sharding import AxisType, Mesh

    from matnet_jax.agda import AGDAOptions
    from matnet_jax.hlo import collectives, host_transfers
    from matnet_jax.model import create_model
    from matnet_jax.sharding import DATA_AXIS, batch_sharded, replicated
    from matnet_jax.train_state import create_train_state
    from matnet_jax.train_step import LossOptions, make_train_step

    devices = topologies.get_topology_desc(_TOPOLOGY.value, "tpu").devices
    mesh = Mesh(np.array(devices), (DATA_AXIS,), axis_types=(AxisType.Auto,))
    overrides = {} if _GROUP.value is None else {"bn_group_size": _GROUP.value}
    model = create_model(
        "paper",
        backbone=_BACKBONE.value,
        image_size=_SIZE.value,
        dtype=jnp.dtype(_DTYPE.value),
        remat=_REMAT.value,
        **overrides,
    )
    tx = optax.adam(1e-3)
    step = make_train_step(
        model, tx, options=LossOptions(), agda=AGDAOptions(), center_rate=lambda step: 0.05
    )
    batch = _PER_CHIP.value * len(devices)
    shapes = {
        "image": jax.ShapeDtypeStruct((batch, _SIZE.value, _SIZE.value, 3), np.uint8),
        "label": jax.ShapeDtypeStruct((batch,), np.int32),
        "mask": jax.ShapeDtypeStruct((batch,), np.float32),
    }
    state = jax.eval_shape(lambda: create_train_state(model, tx, 0))
    jitted = jax.jit(
        step,
        donate_argnums=0,
        in_shardings=(replicated(mesh), batch_sharded(mesh), replicated(mesh)),
        out_shardings=replicated(mesh),
    )
    start = time.perf_counter()
    lowered = jitted.lower(state, shapes, jax.eval_shape(lambda: jax.random.key(0)))
    compiled = lowered.compile()
    seconds = time.perf_counter() - start
    memory, text = compiled.memory_analysis(), compiled.as_text()
    held = memory.argument_size_in_bytes + memory.temp_size_in_bytes
    held += memory.output_size_in_bytes - memory.alias_size_in_bytes
    moved = collectives(text)
    cost = compiled.cost_analysis()
    emit(
        "tpu_aot_memory",
        held / 1e9,
        "GB a chip",
        topology=_TOPOLOGY.value,
        chips=len(devices),
        images_per_chip=_PER_CHIP.value,
        backbone=_BACKBONE.value,
        image_size=_SIZE.value,
        dtype=_DTYPE.value,
        remat=_REMAT.value,
        bn_group_size=_GROUP.value,
        temporary_gb=memory.temp_size_in_bytes / 1e9,
        tflops_per_chip=cost["flops"] / 1e12,
        gb_accessed_per_chip=cost["bytes accessed"] / 1e9,
        estimated_step_s=cost.get("optimal_seconds"),
        collectives={kind: dataclass_dict(c) for kind, c in moved.items()},
        host_transfers=len(host_transfers(text)),
        compile_s=seconds,
        device=f"compiled for {_TOPOLOGY.value}",
    )


def dataclass_dict(collective) -> dict[str, float]:
    """Count and megabytes."""
    return {"count": collective.count, "mb": round(collective.bytes / 1e6, 3)}


if __name__ == "__main__":
    app.run(main)
