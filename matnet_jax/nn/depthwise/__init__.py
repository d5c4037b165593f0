"""Depthwise convolution: one function, whose form is chosen by platform in this one place.

XLA's own grouped convolution is the reference, and what GPUs and TPUs compute with. On CPU it is
one to two orders of magnitude slower than plain loops, so there the form is `shifted`. So it is on
TPUs where there are few channels: convolutions there lie with channels side by side in tiles of 128
however few there are, and sums may lie with pixels side by side. `triton`,
kernels for NVIDIA GPUs, is unmeasured: no default takes it and nothing imports it; only the
environment's ``MATNET_JAX_GPU_DEPTHWISE=triton`` does, and it warns.
"""

from __future__ import annotations

import functools
import importlib
import os
import warnings
from collections.abc import Callable
from types import ModuleType
from typing import Any

import jax
from jax import lax

from matnet_jax.nn.depthwise import shifted, xla
from matnet_jax.nn.depthwise.xla import Padding

UNMEASURED = ("triton",)  # written and tested without the machine that they are for
FORMS = ("xla", "shifted", *UNMEASURED)  # modules of this package: `forward` and `backward`
FEW = 64  # channels: half a tile of a TPU
ON_GPU = "MATNET_JAX_GPU_DEPTHWISE"  # environment variable: another form than XLA's on GPUs


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def depthwise_conv(x: jax.Array, kernel: jax.Array, stride: int, padding: Padding) -> jax.Array:
    """Convolves each channel with its own filter.

    Args:
      x: [B, H, W, C].
      kernel: [k, k, C].
      stride: of both axes.
      padding: ((top, bottom), (left, right)), zeros.

    Returns:
      [B, H', W', C] with H' = (H + top + bottom - k) // stride + 1.
    """
    return _by_platform("forward", stride, padding, gpu_form(), x, kernel)


def _forward(
    x: jax.Array, kernel: jax.Array, stride: int, padding: Padding
) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    return depthwise_conv(x, kernel, stride, padding), (x, kernel)


def _backward(
    stride: int, padding: Padding, residuals: tuple[jax.Array, jax.Array], grad: jax.Array
) -> tuple[jax.Array, jax.Array]:
    x, kernel = residuals
    return _by_platform("backward", stride, padding, gpu_form(), x, kernel, grad)


depthwise_conv.defvjp(_forward, _backward)


def form(name: str) -> ModuleType:
    """The module of a form.

    Raises:
      ValueError: there is no such form.
    """
    if name not in FORMS:
        raise ValueError(f"no depthwise convolution '{name}'; available: {', '.join(FORMS)}")
    return importlib.import_module(f"{__name__}.{name}")  # Pallas takes time to load: on demand


def gpu_form() -> ModuleType:
    """What GPUs compute with: XLA's convolution, unless the environment names another form.

    Warns where that form is unmeasured.

    Raises:
      ValueError: the environment names a form that there is not.
    """
    name = os.environ.get(ON_GPU, "xla")
    if name in UNMEASURED:
        warnings.warn(
            f"{ON_GPU}={name} is unmeasured: it has not run on a GPU, and may be slower than XLA's "
            "convolution; compare them with `python -m benchmarks.depthwise`",
            stacklevel=2,
        )
    if name == "triton" and jax.device_count() > 1:
        return xla  # XLA cannot divide a kernel of ours: it would gather the batch on each device
    return form(name)


# Jitted, so that layers of a shape are traced once: a pass over B4 has 32, of 14 shapes.
@functools.partial(jax.jit, static_argnums=(0, 1, 2, 3))
def _by_platform(
    direction: str, stride: int, padding: Padding, on_gpu: ModuleType, *arrays: jax.Array
) -> Any:
    def function(module: ModuleType) -> Callable[..., Any]:
        return functools.partial(getattr(module, direction), stride=stride, padding=padding)

    forms = {"cpu": function(shifted), "cuda": function(on_gpu)}
    if arrays[0].shape[-1] < FEW:
        forms["tpu"] = forms["cpu"]
    return lax.platform_dependent(*arrays, default=function(xla), **forms)
