"""Our own forms of operations against JAX's: forward and backward pass of a plain classifier.

    python -m benchmarks.forms [--form=product|swish|padding|convolution|all] [--backbone=NAME]
        [--image_size=224] [--batch_size=32]

`product`: matrix products whose gradients sum over one axis (`nn/product.py`). `swish`: its
gradient computes the sigmoid again (`nn/activations.py`). `padding`: zeros around what depthwise
convolutions read, held by a barrier (`nn/depthwise/shifted.py`). `convolution`: the filter gradient
of all other convolutions as matrix products (`nn/convolution.py`). All else is ours on both sides.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from typing import Any
from unittest import mock

from absl import app, flags

from benchmarks.lines import emit
from benchmarks.timing import best_seconds

_FORMS = ("product", "swish", "padding", "convolution")
_FORM = flags.DEFINE_enum("form", "all", [*_FORMS, "all"], "What the reference is without.")
_BACKBONE = flags.DEFINE_string("backbone", "efficientnet-lite0", "Of the classifier.")
_SIZE = flags.DEFINE_integer("image_size", 224, "Pixels.")
_BATCH = flags.DEFINE_integer("batch_size", 32, "Images.")
_REPEATS = flags.DEFINE_integer("repeats", 5, "The fastest counts.")


def plain(form: str) -> Any:
    """A context in which networks are built with JAX's form of an operation."""
    import jax
    import jax.numpy as jnp

    from matnet_jax.nn import activations, convolution, layers
    from matnet_jax.nn.depthwise import shifted

    if form == "product":
        return mock.patch.object(layers, "matrix_product", jnp.matmul)
    if form == "swish":
        return mock.patch.object(activations._swish, "jvp", partial(jax.jvp, jax.nn.swish))
    if form == "convolution":
        return mock.patch.object(layers, "convolve", convolution.xla_convolve)

    def pad(x: jax.Array, padding: Any) -> jax.Array:
        return jnp.pad(x, ((0, 0), *padding, (0, 0)))

    return mock.patch.object(shifted, "_pad", pad)


def gradient() -> tuple[Callable[[], object], float]:
    """The compiled gradient of all parameters with the forms that there are now, and its GB."""
    import jax
    import jax.numpy as jnp

    from matnet_jax.model import create_classifier, init_variables

    jax.clear_caches()  # of what was traced with other forms
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
    memory: Any = compiled.memory_analysis()
    held = memory.temp_size_in_bytes / 1e9
    return lambda: jax.block_until_ready(compiled(*arguments)), held


def main(_: list[str]) -> None:
    """Runs the command."""
    functions, held = {}, {}
    functions["ours"], held["ours"] = gradient()
    with ExitStack() as stack:
        for form in _FORMS if _FORM.value == "all" else [_FORM.value]:
            stack.enter_context(plain(form))
        functions["plain"], held["plain"] = gradient()
    seconds = best_seconds(functions, repeats=_REPEATS.value)
    emit(
        "forms_gradient",
        _BATCH.value / seconds["ours"],
        "images/s",
        ratio=seconds["plain"] / seconds["ours"],
        reference=f"the same with JAX's own: {_FORM.value}",
        temporary_gb=held["ours"],
        reference_temporary_gb=held["plain"],
        backbone=_BACKBONE.value,
        image_size=_SIZE.value,
        batch_size=_BATCH.value,
        malloc=os.environ.get("GLIBC_TUNABLES", ""),
    )


if __name__ == "__main__":
    app.run(main)
