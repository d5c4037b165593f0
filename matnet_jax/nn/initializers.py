"""Initial values by leaf name: shared by the modules and by `init_variables`.

`model.init` would trace and compile the whole network to draw its weights (25 s for B4 on two
cores). The values depend only on a leaf's name and shape, so `init_variables` draws them from
NumPy, leaf by leaf.
"""

from __future__ import annotations

import math
import zlib

import jax
import jax.numpy as jnp
import numpy as np

_CONSTANT = {"bias": 0.0, "mean": 0.0, "centers": 0.0, "scale": 1.0, "var": 1.0}


def kernel_std(shape: tuple[int, ...]) -> float:
    """Standard deviation of a kernel's initial normal distribution.

    Convolutions [k, k, (C_in,) C_out]: √(2 / fan-out), as EfficientNet has it (a depthwise filter
    [k, k, C] feeds one output channel). Dense [in, out]: √(1 / fan-in). AMS class centers and other
    vectors of features are directions, so any scale would do.
    """
    if len(shape) == 4:
        return math.sqrt(2.0 / (shape[0] * shape[1] * shape[3]))
    if len(shape) == 3:
        return math.sqrt(2.0 / (shape[0] * shape[1]))
    return math.sqrt(1.0 / shape[0])


def kernel_init(key: jax.Array, shape: tuple[int, ...], dtype=jnp.float32) -> jax.Array:
    """The Flax initialiser with the same distribution as `initial_value`."""
    return kernel_std(shape) * jax.random.normal(key, shape, dtype)


def initial_value(path: str, shape: tuple[int, ...], dtype, seed: int) -> np.ndarray:
    """The initial value of one leaf, a function of its path, shape and the seed alone.

    Raises:
      ValueError: the leaf's name says nothing about how it starts.
    """
    name = path.rsplit("/", 1)[-1]
    if name in _CONSTANT:
        return np.full(shape, _CONSTANT[name], dtype)
    if name == "kernel":
        draw = np.random.default_rng([seed, zlib.crc32(path.encode())])
        return (kernel_std(shape) * draw.standard_normal(shape, np.float32)).astype(dtype)
    raise ValueError(
        f"no initial value known for variable '{path}': its last name should be 'kernel' or one of "
        f"{sorted(_CONSTANT)}"
    )
