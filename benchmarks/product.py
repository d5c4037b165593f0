"""Matrix products whose gradients sum over one axis, against JAX's own: a network's gradient.

    python -m benchmarks.product [--backbone=NAME] [--image_size=224] [--batch_size=32]

Forward and backward pass of a plain classifier with `matnet_jax.nn.product`, and with ``@``.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any
from unittest import mock

from absl import app, flags

from benchmarks.lines import emit
from benchmarks.timing import best_seconds

_BACKBONE = flags.DEFINE_string("backbone", "efficientnet-lite0", "Of the classifier.")
_SIZE = flags.DEFINE_integer("image_size", 224, "Pixels.")
_BATCH = flags.DEFINE_integer("batch_size", 32, "Images.")
_REPEATS = flags.DEFINE_integer("repeats", 5, "The fastest counts.")


def gradient() -> Callable[[], object]:
    """The compiled gradient of all parameters, with the product that the layers have now."""
    import jax
    import jax.numpy as jnp

    from matnet_jax.model import create_classifier, init_variables

    model = create_classifier(_BACKBONE.value, image_size=_SIZE.value)
    variables = init_variables(model, 0)
    rest = {name: tree for name, tree in variables.items() if name != "params"}
    shape = (_BATCH.value, _SIZE.value, _SIZE.value, 3)
    images = jax.random.normal(jax.random.key(0), shape)

    def loss(params: Any, images: Any, key: Any) -> Any:
        out, new = model.apply(
            {**rest, "params": params}, images, train=True, rngs={"dropout": key}, mutable=[*rest]
        )
        return jnp.mean(out.logits[:, 0] - out.logits[:, 1]), new

    arguments = (variables["params"], images, jax.random.key(1))
    compiled = jax.jit(jax.grad(loss, has_aux=True)).lower(*arguments).compile()
    return lambda: jax.block_until_ready(compiled(*arguments))


def main(_: list[str]) -> None:
    """Runs the command."""
    import jax.numpy as jnp

    functions = {"ours": gradient()}
    with mock.patch("matnet_jax.nn.layers.matrix_product", jnp.matmul):
        functions["plain"] = gradient()
    seconds = best_seconds(functions, repeats=_REPEATS.value)
    emit(
        "product_gradient",
        _BATCH.value / seconds["ours"],
        "images/s",
        ratio=seconds["plain"] / seconds["ours"],
        reference="the same with @",
        backbone=_BACKBONE.value,
        image_size=_SIZE.value,
        batch_size=_BATCH.value,
        malloc=os.environ.get("GLIBC_TUNABLES", ""),
    )


if __name__ == "__main__":
    app.run(main)
