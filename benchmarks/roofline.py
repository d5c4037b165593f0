"""How near inference and the training step come to what the device could do.

    python -m benchmarks.roofline [--batch_size=4] [--dtype=float32]

Operations and bytes are the compiler's counts for the program it made; the ceilings, a large matrix
product and a pass over memory, are measured in the same run. `figure` is the share of the time that
the nearer ceiling accounts for. It can be above 1 on a CPU, whose caches serve much of what the
compiler counts as bytes.
"""

from __future__ import annotations

from absl import app, flags

from benchmarks.lines import emit
from benchmarks.timing import best_seconds

_REPEATS = flags.DEFINE_integer("repeats", 3, "The fastest counts.")
_MATRIX = flags.DEFINE_integer("matrix", 4096, "Side of the matrices of the product's ceiling.")
_MEMORY = flags.DEFINE_integer("memory_mb", 512, "Of the memory's ceiling.")


def ceilings() -> dict[str, float]:
    """Operations of a matrix product, and bytes that a pass over memory moves, a second."""
    import jax
    import jax.numpy as jnp

    side, dtype = _MATRIX.value, jnp.dtype(flags.FLAGS.dtype)
    matrix = jnp.ones((side, side), dtype)
    vector = jnp.ones(_MEMORY.value * 1_000_000 // 4, jnp.float32)
    product = jax.jit(lambda x: x @ x)
    increase = jax.jit(lambda x: x + 1, donate_argnums=0)  # in place: no new pages

    def memory() -> None:
        nonlocal vector
        vector = jax.block_until_ready(increase(vector))

    seconds = best_seconds(
        {
            "product": lambda: jax.block_until_ready(product(matrix)),
            "memory": memory,
        },
        repeats=_REPEATS.value,
    )
    return {
        "flops": 2 * side**3 / seconds["product"],
        "bytes": 2 * vector.nbytes / seconds["memory"],
    }


def main(_: list[str]) -> None:
    """Runs the command."""
    import jax

    from benchmarks.network import programs
    from benchmarks.settings import settings
    from matnet_jax.runtime.sharding import data_mesh

    made = programs(data_mesh(jax.devices()[:1]), "forward", "train_step")
    ceiling = ceilings()
    for name, program in made.items():
        seconds = best_seconds({name: program.call}, repeats=_REPEATS.value)[name]
        cost = program.compiled.cost_analysis()
        computing = cost["flops"] / ceiling["flops"]
        moving = cost["bytes accessed"] / ceiling["bytes"]
        emit(
            f"roofline_{name}",
            max(computing, moving) / seconds,
            "of the nearer ceiling",
            reference="a matrix product and a pass over memory in the same run",
            step_ms=1e3 * seconds,
            computing_ms=1e3 * computing,
            moving_ms=1e3 * moving,
            gflop=cost["flops"] / 1e9,
            gb_accessed=cost["bytes accessed"] / 1e9,
            ceiling_gflops=ceiling["flops"] / 1e9,
            ceiling_gbs=ceiling["bytes"] / 1e9,
            **settings(),
        )


if __name__ == "__main__":
    from benchmarks.settings import define_flags

    define_flags(batch_size=4, dtype="float32")
    app.run(main)
