"""EfficientNet forward, and forward with backward, against the PyTorch peer in the same process.

    pip install 'matnet-jax[bench]'
    python -m benchmarks.backbone [--backbone=efficientnet-b4] [--batch_size=4]

The peer is `efficientnet_pytorch`, eager, channels-last, on all cores; float32 on both sides.
"""

from __future__ import annotations

from absl import app, flags

from benchmarks.lines import emit
from benchmarks.timing import best_seconds

_BACKBONE = flags.DEFINE_string("backbone", "efficientnet-b4", "Of both.")
_SIZE = flags.DEFINE_integer("image_size", 380, "Pixels.")
_BATCH = flags.DEFINE_integer("batch_size", 4, "Images.")
_REPEATS = flags.DEFINE_integer("repeats", 5, "The fastest counts.")


def ours(images):
    """Forward and training functions of this project's backbone."""
    import jax
    import jax.numpy as jnp

    from matnet_jax.model import create_classifier, init_variables

    model = create_classifier(_BACKBONE.value, image_size=_SIZE.value)
    variables = init_variables(model, 0)
    pixels = jnp.asarray(images)

    def loss(params, stats, key):
        out, _ = model.apply(
            {"params": params, "batch_stats": stats},
            pixels,
            train=True,
            rngs={"dropout": key},
            mutable=["batch_stats"],
        )
        return jnp.mean(out.logits**2)

    forward = jax.jit(lambda v: model.apply(v, pixels, train=False).logits)
    backward = jax.jit(jax.grad(loss))
    key = jax.random.key(0)
    return (
        lambda: jax.block_until_ready(forward(variables)),
        lambda: jax.block_until_ready(backward(variables["params"], variables["batch_stats"], key)),
    )


def peers(images):
    """The same of `efficientnet_pytorch`."""
    import torch
    from efficientnet_pytorch import EfficientNet

    model = EfficientNet.from_name(_BACKBONE.value, num_classes=2)
    model = model.to(memory_format=torch.channels_last)
    pixels = torch.from_numpy(images.transpose(0, 3, 1, 2).copy())
    pixels = pixels.to(memory_format=torch.channels_last)

    def forward():
        model.eval()
        with torch.inference_mode():
            model(pixels)

    def backward():
        model.train()
        model.zero_grad(set_to_none=True)
        model(pixels).square().mean().backward()

    return forward, backward


def main(_: list[str]) -> None:
    """Runs the command."""
    import numpy as np

    shape = (_BATCH.value, _SIZE.value, _SIZE.value, 3)
    images = np.random.default_rng(0).standard_normal(shape, dtype=np.float32)
    for name, mine, peer in zip(
        ("forward", "forward_backward"), ours(images), peers(images), strict=True
    ):
        seconds = best_seconds({"ours": mine, "peer": peer}, repeats=_REPEATS.value)
        emit(
            f"backbone_{name}",
            _BATCH.value / seconds["ours"],
            "images/s",
            ratio=seconds["peer"] / seconds["ours"],
            reference="efficientnet_pytorch, eager, channels-last",
            backbone=_BACKBONE.value,
            image_size=_SIZE.value,
            batch_size=_BATCH.value,
        )


if __name__ == "__main__":
    app.run(main)
