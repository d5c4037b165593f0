"""The depthwise convolutions of a network, in every form that runs here, against XLA's own.

    python -m benchmarks.depthwise [--backbone=efficientnet-b4] [--batch_size=4] [--layers]

A line a form and direction: the milliseconds of all its layers together.
"""

from __future__ import annotations

import collections
import functools
from collections.abc import Callable
from typing import Any

from absl import app, flags

from benchmarks.lines import emit
from benchmarks.timing import best_seconds

_BACKBONE = flags.DEFINE_string("backbone", "efficientnet-b4", "Whose layers.")
_SIZE = flags.DEFINE_integer("image_size", 380, "Pixels.")
_BATCH = flags.DEFINE_integer("batch_size", 4, "Images.")
_DTYPE = flags.DEFINE_enum("dtype", "float32", ["bfloat16", "float32"], "Of computation.")
_LAYERS = flags.DEFINE_bool("layers", False, "A line for each kind of layer too.")
_REPEATS = flags.DEFINE_integer("repeats", 3, "The fastest counts.")


def layers() -> collections.Counter:
    """How often the network has each (shape of x, kernel size, stride, padding)."""
    import flax.linen as nn
    import jax

    from matnet_jax.model import create_classifier
    from matnet_jax.nn.layers import DepthwiseConv, same_padding

    found: collections.Counter = collections.Counter()

    def record(call: Any, arguments: Any, keywords: Any, context: Any) -> Any:
        layer = context.module
        if isinstance(layer, DepthwiseConv) and context.method_name == "__call__":
            shape = arguments[0].shape
            padding = layer.padding or same_padding(
                shape[1:3], layer.kernel_size, layer.stride, layer.nominal_size
            )
            found[shape, layer.kernel_size, layer.stride, padding] += 1
        return call(*arguments, **keywords)

    model = create_classifier(_BACKBONE.value, image_size=_SIZE.value)
    images = jax.ShapeDtypeStruct((_BATCH.value, _SIZE.value, _SIZE.value, 3), "float32")
    with nn.intercept_methods(record):
        jax.eval_shape(lambda x: model.init(jax.random.key(0), x, train=False), images)
    return found


def main(_: list[str]) -> None:
    """Runs the command."""
    import jax
    import jax.numpy as jnp

    from matnet_jax.nn.depthwise import FORMS, form

    forms = [name for name in FORMS if name != "triton" or jax.default_backend() == "gpu"]
    totals: dict[Any, float] = collections.defaultdict(float)
    for (shape, k, stride, padding), count in layers().items():
        options = {"stride": stride, "padding": padding}
        x = jax.random.normal(jax.random.key(0), shape, jnp.dtype(_DTYPE.value))
        kernel = jnp.ones((k, k, shape[-1]), x.dtype)
        y = form("shifted").forward(x, kernel, **options)
        calls: dict[Any, Any] = {}
        for name in forms:
            for direction, arrays in (("forward", (x, kernel)), ("backward", (x, kernel, y))):
                jitted = jax.jit(functools.partial(getattr(form(name), direction), **options))
                run = functools.partial(jitted, *arrays)
                calls[name, direction] = functools.partial(_finished, run)
        for (name, direction), seconds in best_seconds(calls, repeats=_REPEATS.value).items():
            totals[name, direction] += count * seconds
            if _LAYERS.value:
                layer = {"input": list(shape), "kernel": k, "stride": stride, "count": count}
                _emit(name, direction, seconds, None, **layer)
    for (name, direction), seconds in totals.items():
        _emit(name, direction, seconds, totals["xla", direction])


def _finished(run: Callable[[], Any]) -> Any:
    import jax

    return jax.block_until_ready(run())


def _emit(name: str, direction: str, seconds: float, reference: float | None, **more: Any) -> None:
    compared: dict[str, Any] = (
        {} if reference is None else {"ratio": reference / seconds, "reference": "xla"}
    )
    emit(
        f"depthwise_{name}_{direction}",
        1e3 * seconds,
        "ms",
        **compared,
        backbone=_BACKBONE.value,
        image_size=_SIZE.value,
        batch_size=_BATCH.value,
        dtype=_DTYPE.value,
        **more,
    )


if __name__ == "__main__":
    app.run(main)
