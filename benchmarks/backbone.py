"""EfficientNet forward, and forward with backward, against the PyTorch peer.

    pip install 'matnet-jax[bench]'
    python -m benchmarks.backbone [--backbone=efficientnet-b4] [--batch_size=4] [--compiled_peer]

The peer is `efficientnet_pytorch`, channels-last, eager unless `--compiled_peer`. Each side runs in
a process of its own, on all cores or the GPU, and they are called in turns; see `benchmarks.peer`.
"""

from __future__ import annotations

from typing import Any

from absl import app, flags

from benchmarks.lines import emit
from benchmarks.sides import answer, compare

_SIDE = flags.DEFINE_enum("side", None, ["ours", "peer"], "Run by this command itself.")
_BACKBONE = flags.DEFINE_string("backbone", "efficientnet-b4", "Of both.")
_SIZE = flags.DEFINE_integer("image_size", 380, "Pixels.")
_BATCH = flags.DEFINE_integer("batch_size", 4, "Images.")
_DTYPE = flags.DEFINE_enum("dtype", "float32", ["bfloat16", "float32"], "Of our computation.")
_COMPILED = flags.DEFINE_bool("compiled_peer", False, "The peer by torch.compile.")
_REPEATS = flags.DEFINE_integer("repeats", 5, "The fastest counts.")


def ours() -> Any:
    """Forward and training functions of this project's backbone."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    from matnet_jax.model import create_classifier, init_variables

    model = create_classifier(
        _BACKBONE.value, image_size=_SIZE.value, dtype=jnp.dtype(_DTYPE.value)
    )
    variables = jax.device_put(init_variables(model, 0))
    shape = (_BATCH.value, _SIZE.value, _SIZE.value, 3)
    pixels = jnp.asarray(np.random.default_rng(0).standard_normal(shape, np.float32))

    def loss(params: Any, stats: Any, key: Any, pixels: Any) -> Any:
        out, _ = model.apply(
            {"params": params, "batch_stats": stats},
            pixels,
            train=True,
            rngs={"dropout": key},
            mutable=["batch_stats"],
        )
        return jnp.mean(out.logits**2)

    def logits(v: Any, pixels: Any) -> Any:
        out: Any = model.apply(v, pixels, train=False)
        return out.logits

    forward = jax.jit(logits)
    backward = jax.jit(jax.grad(loss))
    trained = (variables["params"], variables["batch_stats"], jax.random.key(0), pixels)
    return (
        lambda: jax.block_until_ready(forward(variables, pixels)),
        lambda: jax.block_until_ready(backward(*trained)),
    )


def peer() -> Any:
    """The same of the peer."""
    from benchmarks.peer import peer_passes

    return peer_passes(_BACKBONE.value, _BATCH.value, _SIZE.value, compiled=_COMPILED.value)


def main(_: list[str]) -> None:
    """Runs the command."""
    names, sides = ("forward", "forward_backward"), {"ours": ours, "peer": peer}
    if _SIDE.value:
        answer(dict(zip(names, sides[_SIDE.value](), strict=True)))
        return
    results = compare("benchmarks.backbone", sides, names, repeats=_REPEATS.value)
    for name, by_side in results.items():
        mine, theirs = by_side["ours"], by_side["peer"]
        emit(
            f"backbone_{name}",
            _BATCH.value / mine.seconds,
            "images/s",
            ratio=theirs.seconds / mine.seconds,
            reference="efficientnet_pytorch, channels-last, "
            + ("compiled" if _COMPILED.value else "eager"),
            peak_gb=mine.peak_gb,
            reference_peak_gb=theirs.peak_gb,
            backbone=_BACKBONE.value,
            image_size=_SIZE.value,
            batch_size=_BATCH.value,
            dtype=_DTYPE.value,
        )


if __name__ == "__main__":
    app.run(main)
