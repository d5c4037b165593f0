"""Repeated blocks scanned instead of unrolled: what it saves in compiling and costs in running.

    python -m benchmarks.scan [--blocks=5] [--channels=160] [--size=24]

Gradients of a row of equal EfficientNet blocks, as B4's deepest stages have, on their parameters.
"""

from __future__ import annotations

import time
from typing import Any

from absl import app, flags

from benchmarks.lines import emit
from benchmarks.timing import best_seconds

_BLOCKS = flags.DEFINE_integer("blocks", 5, "In a row.")
_CHANNELS = flags.DEFINE_integer("channels", 160, "Of their inputs and outputs.")
_SIZE = flags.DEFINE_integer("size", 24, "Pixels of the maps.")
_KERNEL = flags.DEFINE_integer("kernel", 5, "Of the depthwise convolution.")
_BATCH = flags.DEFINE_integer("batch_size", 4, "Images.")
_REPEATS = flags.DEFINE_integer("repeats", 5, "The fastest counts.")


def main(_: list[str]) -> None:
    """Runs the command."""
    import jax
    import jax.numpy as jnp

    from matnet_jax.backbones.efficientnet import MBConv
    from matnet_jax.nn.batch_norm import Norm

    block = MBConv(
        features=_CHANNELS.value,
        kernel_size=_KERNEL.value,
        stride=1,
        expansion=6,
        drop_rate=0.0,
        nominal_size=None,
        norm=Norm(0.99, 1e-3),
    )
    x = jax.random.normal(
        jax.random.key(0), (_BATCH.value, _SIZE.value, _SIZE.value, _CHANNELS.value)
    )
    rows = [block.init(jax.random.key(i), x, False) for i in range(_BLOCKS.value)]

    def through(variables: Any, x: Any) -> Any:
        y, new = block.apply(variables, x, True, mutable=["batch_stats"])
        return y, new["batch_stats"]

    def unrolled(params: Any, stats: Any, x: Any) -> Any:
        new = []
        for p, s in zip(params, stats, strict=True):
            x, changed = through({"params": p, "batch_stats": s}, x)
            new.append(changed)
        return jnp.mean(x**2), new

    def scanned(params: Any, stats: Any, x: Any) -> Any:
        def body(x: Any, row: Any) -> Any:
            return through({"params": row[0], "batch_stats": row[1]}, x)

        # Parameters stay apart, as checkpoints have them: stacking is part of the program.
        rows = jax.tree.map(lambda *leaves: jnp.stack(leaves), *zip(params, stats, strict=True))
        x, new = jax.lax.scan(body, x, rows)
        return jnp.mean(x**2), new

    arguments = ([r["params"] for r in rows], [r["batch_stats"] for r in rows], x)
    compile_s, run = {}, {}
    for name, function in (("unrolled", unrolled), ("scanned", scanned)):
        start = time.perf_counter()
        compiled = jax.jit(jax.grad(function, has_aux=True)).lower(*arguments).compile()
        compile_s[name] = time.perf_counter() - start
        run[name] = lambda compiled=compiled: jax.block_until_ready(compiled(*arguments))
    seconds = best_seconds(run, repeats=_REPEATS.value)
    for figure, values in (("compile", compile_s), ("run", seconds)):
        emit(
            f"scan_{figure}",
            values["scanned"],
            "s",
            ratio=values["unrolled"] / values["scanned"],
            reference="the same blocks unrolled",
            reference_s=values["unrolled"],
            blocks=_BLOCKS.value,
            channels=_CHANNELS.value,
            size=_SIZE.value,
            kernel=_KERNEL.value,
            batch_size=_BATCH.value,
        )


if __name__ == "__main__":
    app.run(main)
