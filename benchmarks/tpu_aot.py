"""The training step compiled for a TPU slice, without one: memory, operations, communication.

    pip install 'matnet-jax[tpu]'
    python -m benchmarks.tpu_aot --topology=v5e:4x4 --per_chip=12 [--remat] [--bn_group_size=12]

All figures are the compiler's; nothing runs. Takes minutes for B4. The compiler's own estimate of
the time is no number one can use (negative, for programs of this size), so `least_step_ms` is what
its count of operations, and the main memory's traffic (`benchmarks.main_memory`), take at the
chip's published peaks. `gb_accessed_per_chip` is its own count of bytes, wherever they lie.
"""

from __future__ import annotations

import os
import time

from absl import app, flags

from benchmarks.lines import emit
from benchmarks.peaks import find_peak

_TOPOLOGY = flags.DEFINE_string("topology", "v5e:4x4", "As JAX names slices.")
_PER_CHIP = flags.DEFINE_integer("per_chip", 12, "Images a chip.")


def main(_: list[str]) -> None:
    """Runs the command."""
    import jax

    from benchmarks import network
    from benchmarks.main_memory import traffic
    from benchmarks.settings import settings
    from benchmarks.topology import slice_mesh
    from matnet_jax.runtime.hlo import collectives, host_transfers

    mesh = slice_mesh(_TOPOLOGY.value)
    model = network.model_from_flags()
    # Of the global batch the shapes alone are needed: one image tells them.
    shapes = {
        name: jax.ShapeDtypeStruct((_PER_CHIP.value * mesh.size, *x.shape[1:]), x.dtype)
        for name, x in network.batch(1, model.image_size).items()
    }
    state = jax.eval_shape(lambda: network.initial_state(model, flags.FLAGS.recipe))
    start = time.perf_counter()
    step = network.training_step(model, mesh, flags.FLAGS.recipe)
    compiled = step.lower(state, shapes, jax.eval_shape(lambda: jax.random.key(0))).compile()
    seconds = time.perf_counter() - start
    memory, text, cost = compiled.memory_analysis(), compiled.as_text(), compiled.cost_analysis()
    held = memory.argument_size_in_bytes + memory.temp_size_in_bytes
    held += memory.output_size_in_bytes - memory.alias_size_in_bytes
    moved = traffic(text)
    peak = find_peak(_TOPOLOGY.value)
    least = peak and 1e3 * peak.seconds(cost["flops"], moved.bytes)
    emit(
        "tpu_aot_memory",
        held / 1e9,
        "GB a chip",
        topology=_TOPOLOGY.value,
        chips=mesh.size,
        images_per_chip=_PER_CHIP.value,
        **{k: v for k, v in settings().items() if k != "batch_size"},
        temporary_gb=memory.temp_size_in_bytes / 1e9,
        tflops_per_chip=cost["flops"] / 1e12,
        gb_accessed_per_chip=cost["bytes accessed"] / 1e9,
        gb_of_main_memory=moved.bytes / 1e9,
        estimated_mcycles=moved.cycles / 1e6,
        least_step_ms=least,
        collectives={
            kind: {"count": found.count, "mb": round(found.bytes / 1e6, 3)}
            for kind, found in collectives(text).items()
        },
        host_transfers=len(host_transfers(text)),
        compile_s=seconds,
        device=f"compiled for {_TOPOLOGY.value}",
    )


if __name__ == "__main__":
    os.environ.setdefault("JAX_PLATFORMS", "cpu")  # what runs here; the TPU is only compiled for
    from benchmarks.settings import define_flags

    define_flags(batch_size=0, dtype="bfloat16")
    app.run(main)
