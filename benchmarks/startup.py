"""From the start of a process to its first finished training step, by part: cold, then cached.

    python -m benchmarks.startup [--backbone=efficientnet-b4] [--batch_size=1]

Two processes, one after the other, share an empty folder of compiled programs, as two runs of
`run_train.py` share the user's.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from typing import Any

from absl import app, flags

from benchmarks.lines import emit, peak_memory

_BEGAN = flags.DEFINE_float("began", None, "When the process was started; by this command itself.")


def start() -> None:
    """Runs one step and prints the seconds of each part."""
    parts: dict[str, float] = {}
    last: Any = _BEGAN.value

    def finished(part: str) -> None:
        nonlocal last
        now = time.time()
        parts[part], last = now - last, now

    import jax

    from benchmarks import network
    from matnet_jax.runtime.sharding import data_mesh, global_batch, replicate

    finished("imports_s")
    model, mesh = network.model_from_flags(), data_mesh()
    state = replicate(network.initial_state(model, flags.FLAGS.recipe), mesh)
    images = global_batch(network.batch(flags.FLAGS.batch_size, model.image_size), mesh)
    key = replicate(jax.random.key(0), mesh)
    jax.block_until_ready((state, images))
    finished("initialise_s")
    step = network.training_step(model, mesh, flags.FLAGS.recipe)
    traced = step.trace(state, images, key)
    finished("trace_s")
    lowered = traced.lower()
    finished("lower_s")
    compiled = lowered.compile()
    finished("compile_or_load_s")
    jax.block_until_ready(compiled(state, images, key))
    finished("run_s")
    print(json.dumps(parts | {"peak_gb": peak_memory()}))


def main(_: list[str]) -> None:
    """Runs the command."""
    if _BEGAN.value:
        return start()
    from benchmarks.settings import settings

    totals: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as cache:
        environment = os.environ | {"JAX_COMPILATION_CACHE_DIR": cache}
        for name in ("cold", "cached"):
            command = [sys.executable, "-m", "benchmarks.startup", *sys.argv[1:]]
            done = subprocess.run(
                [*command, f"--began={time.time()}"],
                env=environment,
                stdout=subprocess.PIPE,
                text=True,
                check=True,
            )
            parts = json.loads(done.stdout)
            totals[name] = sum(value for part, value in parts.items() if part.endswith("_s"))
            emit(
                f"startup_{name}",
                totals[name],
                "s",
                ratio=totals["cold"] / totals[name],
                reference="the cold start",
                **parts,
                **settings(),
            )


if __name__ == "__main__":
    from benchmarks.settings import define_flags

    define_flags(batch_size=1, dtype="float32")
    app.run(main)
