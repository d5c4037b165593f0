"""A config's training step at full size: memory, operations and what a checkpoint holds.

    python -m benchmarks.full_size --config=gend_clip_l [--batch_size=32] [--topology=v5e:2x2]

All of it comes from shapes and from the compiler; nothing runs, and no weights are needed. Without
a topology the step is only lowered: operations are those of the program as it was written, with
what rematerialisation computes again. With one it is compiled for that slice of TPUs, which takes
minutes and gives the memory too. `least_step_ms` is what the operations take at the published peaks
of the chips that are named there.
"""

from __future__ import annotations

import math
import os
from typing import Any

from absl import app, flags

from benchmarks.lines import emit
from benchmarks.peaks import PEAKS, find_peak

_CONFIG = flags.DEFINE_string("config", None, "That comes with the project.", required=True)
_BATCH_SIZE = flags.DEFINE_integer("batch_size", None, "A chip; by default the config's.")
_TOPOLOGY = flags.DEFINE_string("topology", None, "To compile for, as JAX names slices.")


def numbers(tree: Any) -> int:
    """How many numbers a tree of shapes has."""
    import jax

    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(tree))


def step_of(config: Any, model: Any, mesh: Any) -> tuple[Any, Any]:
    """The config's jitted step over a mesh, and the shapes of its state."""
    import jax

    from matnet_jax.config.build import build_objective
    from matnet_jax.detectors.variables import abstract_variables
    from matnet_jax.runtime.sharding import batch_sharded, replicated
    from matnet_jax.train.plan import build_optimizer, build_stop_frozen
    from matnet_jax.train.state import create_train_state
    from matnet_jax.train.step import make_train_step

    tx = build_optimizer(config, lambda step: 1e-4)
    objective = build_objective(config, model, lambda duration: 1000)
    step = jax.jit(
        make_train_step(model, objective, tx, stop_frozen=build_stop_frozen(config)),
        donate_argnums=0,
        in_shardings=(replicated(mesh), batch_sharded(mesh), replicated(mesh)),
        out_shardings=replicated(mesh),
    )
    state = jax.eval_shape(
        lambda variables: create_train_state(model, tx, 0, variables=variables),
        abstract_variables(model),
    )
    return step, state


def main(_: list[str]) -> None:
    """Runs the command."""
    import jax

    from benchmarks.topology import slice_mesh
    from matnet_jax.checkpoints.frozen import Frozen, without
    from matnet_jax.checkpoints.state import split
    from matnet_jax.config.build import build_model
    from matnet_jax.detectors.assembly import variable_shapes
    from matnet_jax.model import create_classifier
    from matnet_jax.runtime.config_files import load_config
    from matnet_jax.runtime.sharding import data_mesh
    from matnet_jax.train.plan import frozen_in

    config = load_config(_CONFIG.value)
    model = build_model(config)
    topology = _TOPOLOGY.value
    mesh = slice_mesh(topology) if topology else data_mesh(jax.devices()[:1])
    size = (_BATCH_SIZE.value or config.train.batch_size) * mesh.size
    side = model.image_size
    batch = {
        "image": jax.ShapeDtypeStruct((size, side, side, 3), "uint8"),
        "label": jax.ShapeDtypeStruct((size,), "int32"),
        "weight": jax.ShapeDtypeStruct((size,), "float32"),
    }
    step, state = step_of(config, model, mesh)
    lowered = step.lower(state, batch, jax.eval_shape(lambda: jax.random.key(0)))
    held: dict[str, Any] = {}
    if topology:
        compiled = lowered.compile()
        memory, cost = compiled.memory_analysis(), compiled.cost_analysis()
        total = memory.argument_size_in_bytes + memory.temp_size_in_bytes
        total += memory.output_size_in_bytes - memory.alias_size_in_bytes
        held = {"memory_gb": total / 1e9, "temporary_gb": memory.temp_size_in_bytes / 1e9}
    else:
        cost = lowered.cost_analysis()
    frozen = set(frozen_in(config, state.params))
    plain = create_classifier(config.model.backbone, image_size=side)
    in_file = {path.removeprefix("params/") for path in variable_shapes(plain)}
    network, optimizer = split(state)
    trained = without(network, Frozen("", "", tuple(frozen)))["params"]
    kept = without(network, Frozen("", "", tuple(frozen & in_file)))
    peaks = {name: PEAKS[name] for name in ("A100", "H100")}
    if topology and (own := find_peak(topology)):
        peaks = {topology: own}
    emit(
        "full_size_step",
        cost["flops"] / 1e12,
        "TFLOP a chip",
        config=_CONFIG.value,
        chips=mesh.size,
        images_per_chip=size // mesh.size,
        remat=config.train.remat,
        dtype=config.model.dtype,
        parameters=numbers(state.params),
        trained=numbers(trained),
        optimizer_numbers=numbers(state.opt_state),
        state_gb=4 * numbers(state) / 1e9,
        checkpoint_mb=4 * numbers((kept, optimizer)) / 1e6,
        full_checkpoint_mb=4 * numbers((network, optimizer)) / 1e6,
        **held,
        least_step_ms={
            name: round(1e3 * peak.seconds(cost["flops"], 0), 1) for name, peak in peaks.items()
        },
        device=f"compiled for {topology}" if topology else "lowered for a CPU, not compiled",
    )


if __name__ == "__main__":
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    app.run(main)
