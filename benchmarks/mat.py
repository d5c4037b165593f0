"""The whole network beside its PyTorch peer: inference, and a recipe's training step with AGDA.

    pip install 'matnet-jax[bench]'
    python -m benchmarks.mat [--recipe=released] [--compiled_peer] [--batch_size=4]

The peer is `benchmarks.torch_mat`: the same network, losses, augmentation and optimiser in PyTorch,
channels-last, eager unless `--compiled_peer`; `tests/test_torch_peer.py` holds the two together.
Each side has a process of its own, and they are called in turns; memory is that of the calls, not
of compiling. On a GPU the peer computes in bfloat16. Without PyTorch, ours alone is timed.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

from absl import app, flags

from benchmarks.lines import emit
from benchmarks.sides import answer, compare

_SIDE = flags.DEFINE_enum("side", None, ["ours", "peer"], "Run by this command itself.")
_COMPILED = flags.DEFINE_bool("compiled_peer", False, "The peer by torch.compile.")
_REPEATS = flags.DEFINE_integer("repeats", 3, "The fastest counts.")

Functions = dict[str, Callable[[], object]]


def ours() -> Functions:
    """This project's network."""
    from benchmarks.network import programs
    from matnet_jax.runtime.sharding import data_mesh

    made = programs(data_mesh(), "forward", "train_step")
    return {name: program.call for name, program in made.items()}


def peer() -> Functions:
    """The same of the peer."""
    import numpy as np
    import torch

    from benchmarks.torch_mat import training
    from benchmarks.torch_mat.network import MAT

    values = flags.FLAGS
    on_gpu = torch.cuda.is_available()
    device = "cuda" if on_gpu else "cpu"
    model = MAT(values.recipe, values.backbone, values.image_size).to(device)
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    shape = (values.batch_size, 3, values.image_size, values.image_size)
    pixels = torch.from_numpy(np.random.default_rng(0).integers(0, 256, shape, np.uint8))
    pixels = pixels.to(device, memory_format=torch.channels_last)
    labels = torch.arange(values.batch_size, device=device) % 2
    optimizer = training.optimizer(model)
    half = torch.autocast(device, torch.bfloat16, enabled=on_gpu)

    def score(pixels: Any) -> Any:
        return model(training.normalized(pixels)).logits.float().softmax(1)[:, 1]

    def loss(pixels: Any, labels: Any) -> Any:
        return training.total_loss(model, training.normalized(pixels), labels)[0]

    if _COMPILED.value:
        score, loss = torch.compile(score), torch.compile(loss)

    def forward() -> None:
        model.eval()
        with torch.inference_mode(), half:
            score(pixels).sum().item()  # waits for the device

    def train() -> None:
        model.train()
        optimizer.zero_grad(set_to_none=True)
        with half:
            total = loss(pixels, labels)
        total.backward()
        optimizer.step()
        total.item()

    return {"forward": forward, "train_step": train}


def main(_: list[str]) -> None:
    """Runs the command."""
    sides = {"ours": ours, "peer": peer}
    if _SIDE.value:
        answer(sides[_SIDE.value]())
        return
    from benchmarks.settings import settings

    if find_spec("torch") is None:
        del sides["peer"]
    functions = ("forward", "train_step")
    for name, by_side in compare(
        "benchmarks.mat", sides, functions, repeats=_REPEATS.value
    ).items():
        mine, reference = by_side["ours"], {}
        if theirs := by_side.get("peer"):
            reference = {
                "ratio": theirs.seconds / mine.seconds,
                "reference": f"PyTorch, {'compiled' if _COMPILED.value else 'eager'}",
                "reference_peak_gb": theirs.peak_gb,
            }
        emit(
            f"mat_{name}",
            flags.FLAGS.batch_size / mine.seconds,
            "images/s",
            **reference,
            **settings(),
            peak_gb=mine.peak_gb,
            malloc=os.environ.get("GLIBC_TUNABLES", ""),
        )


if __name__ == "__main__":
    from benchmarks.settings import define_flags

    define_flags(batch_size=4, dtype="float32")
    app.run(main)
