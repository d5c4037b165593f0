"""What a network costs: its numbers, the arithmetic of an image, and images a second here.

A network of clips counts by clips.
"""

from __future__ import annotations

import dataclasses
import statistics
import time
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from matnet_jax.detectors.base import Detector
from matnet_jax.detectors.inference import infer

_TIMES = 3


@dataclasses.dataclass(frozen=True)
class Costs:
    """Of scoring images, or clips, of a network's own size.

    Attributes:
      parameters: that train.
      gflop: floating-point operations of one image in thousands of millions, a product and a sum
        each one; None where the compiler does not say.
      images_per_second: with `batch_size` images at once, from pixels on the device to their
        scores; the median of three.
      batch_size: of that.
      device: that did it.
    """

    parameters: int
    gflop: float | None
    images_per_second: float
    batch_size: int
    device: str


def measure_costs(model: Detector, variables: Mapping[str, Any], *, batch_size: int) -> Costs:
    """Compiles the network for a batch on one device, and runs it a few times.

    Args:
      model: of any family.
      variables: what its `apply` takes.
      batch_size: of what is timed.
    """
    device = jax.devices()[0]
    variables = jax.device_put(dict(variables), device)

    def score(variables: Mapping[str, Any], pixels: jax.Array) -> jax.Array:
        return infer(model, variables, model.preprocess.normalize(pixels)).score

    step = jax.jit(score)
    one = jax.ShapeDtypeStruct((1, *model.input_shape), jnp.uint8)
    analysis = step.lower(variables, one).cost_analysis() or {}
    # Noise, not zeros, whose figures can be denormal numbers, which are slow.
    shape = (batch_size, *model.input_shape)
    pixels = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    batch = jax.device_put(pixels, device)
    jax.block_until_ready(step(variables, batch))
    seconds = []
    for _ in range(_TIMES):
        begin = time.perf_counter()
        jax.block_until_ready(step(variables, batch))
        seconds.append(time.perf_counter() - begin)
    return Costs(
        parameters=sum(leaf.size for leaf in jax.tree.leaves(variables["params"])),
        gflop=analysis["flops"] / 1e9 if "flops" in analysis else None,
        images_per_second=batch_size / statistics.median(seconds),
        batch_size=batch_size,
        device=device.device_kind,
    )
