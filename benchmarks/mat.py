"""The whole network: inference and the training step with AGDA, beside the PyTorch peer's backbone.

    pip install 'matnet-jax[bench]'
    python -m benchmarks.mat [--backbone=efficientnet-b4] [--batch_size=4] [--dtype=float32]

Where `efficientnet_pytorch` is installed, the same number of its backbone's passes (one forward;
two forward and backward), without attention, texture or pooling, is the reference. Both sides run
in processes of their own, one after the other, so that peak memory is each one's. On a GPU the peer
runs in bfloat16, channels-last, compiled.
"""

from __future__ import annotations

from absl import app, flags

from benchmarks.lines import emit
from benchmarks.sides import run_side, tell

_SIDE = flags.DEFINE_enum("side", None, ["ours", "peer"], "Run by this command itself.")
_REPEATS = flags.DEFINE_integer("repeats", 3, "The fastest counts.")


def ours() -> None:
    """Times this project's network and prints its lines."""
    import jax

    from benchmarks import network
    from matnet_jax.runtime.sharding import data_mesh, global_batch, replicate

    model, mesh = network.model_from_flags(), data_mesh()
    size = flags.FLAGS.batch_size
    images = global_batch(network.batch(size, model.image_size), mesh)
    state, key = replicate((network.initial_state(model), jax.random.key(0)), mesh)
    infer, step = network.inference(model), network.training_step(model, mesh)

    def forward() -> None:
        jax.block_until_ready(infer(state.variables, images["image"]))

    def train() -> None:
        nonlocal state
        state, metrics = step(state, images, key)
        jax.block_until_ready(metrics)

    tell("forward", forward, repeats=_REPEATS.value)
    tell("train_step", train, repeats=_REPEATS.value)


def peer() -> None:
    """Times the passes of the peer's backbone and prints its lines."""
    import torch

    from benchmarks.peer import peer_passes

    values = flags.FLAGS
    forward, passes = peer_passes(
        values.backbone,
        values.batch_size,
        values.image_size,
        compiled=torch.cuda.is_available(),
        passes=2,
    )
    tell("forward", forward, repeats=_REPEATS.value)
    tell("train_step", passes, repeats=_REPEATS.value)


def main(_: list[str]) -> None:
    """Runs the command."""
    if _SIDE.value:
        return {"ours": ours, "peer": peer}[_SIDE.value]()
    from importlib.util import find_spec

    from benchmarks.network import settings

    mine = run_side("benchmarks.mat", "ours")
    theirs = run_side("benchmarks.mat", "peer") if find_spec("efficientnet_pytorch") else {}
    for name, line in mine.items():
        reference = {}
        if theirs:
            reference = {
                "ratio": theirs[name]["seconds"] / line["seconds"],
                "reference": "efficientnet_pytorch, the backbone's passes alone",
                "reference_peak_gb": theirs[name]["peak_gb"],
            }
        emit(
            f"mat_{name}",
            flags.FLAGS.batch_size / line["seconds"],
            "images/s",
            **reference,
            **settings(),
            peak_gb=line["peak_gb"],
        )


if __name__ == "__main__":
    from benchmarks.network import define_flags

    define_flags(batch_size=4, dtype="float32")
    app.run(main)
