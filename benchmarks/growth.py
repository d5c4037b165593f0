"""The training step's time against batch size, image size, M and number of devices.

    python -m benchmarks.growth [--backbone=efficientnet-b0] [--plot=docs/images/growth.png]

One of them is varied at a time. On a CPU the devices are fake ones that share its cores: with the
same global batch, what is added is what dividing the work costs.
"""

from __future__ import annotations

import os
from pathlib import Path

from absl import app, flags

from benchmarks.lines import emit
from benchmarks.timing import best_seconds

_BACKBONE = flags.DEFINE_string("backbone", "efficientnet-b0", "Of the network.")
_BATCH = flags.DEFINE_integer("batch_size", 8, "Images, where it is not varied.")
_SIZE = flags.DEFINE_integer("image_size", 128, "Pixels, where it is not varied.")
_DTYPE = flags.DEFINE_enum("dtype", "float32", ["bfloat16", "float32"], "Of computation.")
_REPEATS = flags.DEFINE_integer("repeats", 3, "The fastest counts.")
_PLOT = flags.DEFINE_string("plot", None, "An image file to write.")

_VARIED = {
    "batch_size": (2, 4, 8, 16),
    "image_size": (64, 128, 192, 256),
    "num_attentions": (1, 2, 4, 8),
    "devices": (1, 2, 4, 8),
}


def step_seconds(batch_size: int, image_size: int, num_attentions: int, devices: int) -> float:
    """Seconds of one step."""
    import jax
    import jax.numpy as jnp

    from benchmarks import network
    from matnet_jax.model import create_model
    from matnet_jax.runtime.sharding import data_mesh, global_batch, replicate

    model = create_model(
        "paper",
        backbone=_BACKBONE.value,
        image_size=image_size,
        num_attentions=num_attentions,
        dtype=jnp.dtype(_DTYPE.value),
    )
    mesh = data_mesh(jax.devices()[:devices])
    images = global_batch(network.batch(batch_size, image_size), mesh)
    state, key = replicate((network.initial_state(model), jax.random.key(0)), mesh)
    step = network.training_step(model, mesh)

    def train() -> None:
        nonlocal state
        state, metrics = step(state, images, key)
        jax.block_until_ready(metrics)

    return best_seconds({"step": train}, repeats=_REPEATS.value)["step"]


def plot(times: dict[str, dict[int, float]], path: Path) -> None:
    """One panel for each that was varied."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 2.8), layout="constrained")
    for axes, (name, points) in zip(figure.subplots(1, len(times)), times.items(), strict=True):
        axes.plot(list(points), list(points.values()), "o-", color="#1f5fa8")
        axes.set(xlabel=name.replace("_", " "), ylim=(0, 1.1 * max(points.values())))
        axes.set_xticks(list(points))
        axes.grid(alpha=0.3)
    figure.axes[0].set_ylabel("seconds a step")
    figure.savefig(path, dpi=120)


def main(_: list[str]) -> None:
    """Runs the command."""
    import jax

    base = {
        "batch_size": _BATCH.value,
        "image_size": _SIZE.value,
        "num_attentions": 4,
        "devices": 1,
    }
    own = step_seconds(**base)
    measured = {tuple(base.values()): own}
    times: dict[str, dict[int, float]] = {}
    for name, values in _VARIED.items():
        times[name] = {}
        for value in values:
            fields = base | {name: value}
            if fields["devices"] > jax.device_count():
                continue
            if (point := tuple(fields.values())) not in measured:
                measured[point] = step_seconds(**fields)
            times[name][value] = measured[point]
            emit(
                f"growth_{name}",
                measured[point],
                "s",
                ratio=measured[point] / own,
                reference="the step of the values that are not varied",
                backbone=_BACKBONE.value,
                dtype=_DTYPE.value,
                **fields,
            )
    if _PLOT.value:
        plot(times, Path(_PLOT.value))


if __name__ == "__main__":
    if os.environ.get("JAX_PLATFORMS", "cpu") == "cpu":
        os.environ.setdefault("XLA_FLAGS", "--xla_force_host_platform_device_count=8")
    app.run(main)
