"""The whole network: inference and the training step with AGDA, beside the PyTorch peer's backbone.

    pip install 'matnet-jax[bench]'
    python -m benchmarks.mat [--backbone=efficientnet-b4] [--batch_size=4] [--dtype=float32]

Where `efficientnet_pytorch` is installed, the same number of its backbone's passes (one forward;
two forward and backward), without attention, texture or pooling, is the reference. Both sides run
in processes of their own, one after the other, so that peak memory is each one's. On a GPU the peer
runs in bfloat16, channels-last, compiled.
"""

from __future__ import annotations

import json
import subprocess
import sys

from absl import app, flags

from benchmarks.lines import emit, peak_memory
from benchmarks.timing import best_seconds

_SIDE = flags.DEFINE_enum("side", None, ["ours", "peer"], "Run by this command itself.")
_REPEATS = flags.DEFINE_integer("repeats", 3, "The fastest counts.")


def ours() -> None:
    """Times this project's network and prints its lines."""
    import jax

    from benchmarks import network
    from matnet_jax.sharding import data_mesh, global_batch, replicate

    model, mesh = network.model_from_flags(), data_mesh()
    size = flags.FLAGS.batch_size
    images = global_batch(network.batch(size, model.image_size), mesh)
    state, key = replicate((network.initial_state(model), jax.random.key(0)), mesh)
    infer, step = network.inference(model), network.training_step(model, mesh)

    def forward():
        jax.block_until_ready(infer(state.variables, images["image"]))

    def train():
        nonlocal state
        state, metrics = step(state, images, key)
        jax.block_until_ready(metrics)

    _result("forward", forward)
    _result("train_step", train)


def peer() -> None:
    """Times the passes of `efficientnet_pytorch`."""
    import numpy as np
    import torch
    from efficientnet_pytorch import EfficientNet

    shape = (flags.FLAGS.batch_size, 3, flags.FLAGS.image_size, flags.FLAGS.image_size)
    on_gpu = torch.cuda.is_available()
    device = "cuda" if on_gpu else "cpu"
    model = EfficientNet.from_name(flags.FLAGS.backbone, num_classes=2).to(device)
    model = model.to(memory_format=torch.channels_last)
    pixels = torch.from_numpy(np.random.default_rng(0).standard_normal(shape, np.float32))
    pixels = pixels.to(device, memory_format=torch.channels_last)
    network = torch.compile(model) if on_gpu else model
    half = torch.autocast(device, torch.bfloat16, enabled=on_gpu)

    def done(value):
        return value.item()  # waits for the device

    def forward():
        model.eval()
        with torch.inference_mode(), half:
            done(network(pixels).sum())

    def passes():
        model.train()
        model.zero_grad(set_to_none=True)
        for _ in range(2):
            with half:
                loss = network(pixels).square().mean()
            loss.backward()
        done(loss)

    _result("forward", forward)
    _result("train_step", passes)


def _result(name: str, function) -> None:
    seconds = best_seconds({name: function}, repeats=_REPEATS.value)[name]
    print(json.dumps({"name": name, "seconds": seconds, "peak_gb": peak_memory()}), flush=True)


def _of(side: str) -> dict[str, dict[str, float]]:
    command = [sys.executable, "-m", "benchmarks.mat", f"--side={side}", *sys.argv[1:]]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return {line["name"]: line for line in map(json.loads, done.stdout.splitlines())}


def main(_: list[str]) -> None:
    """Runs the command."""
    if _SIDE.value:
        return {"ours": ours, "peer": peer}[_SIDE.value]()
    from importlib.util import find_spec

    from benchmarks.network import settings

    mine = _of("ours")
    theirs = _of("peer") if find_spec("efficientnet_pytorch") else {}
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
