"""Initial variables as modules declare them, drawn without compiling the network."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import traverse_util

from matnet_jax.nn.initializers import Declared, declaring


def declared(call: Callable[..., Any], *inputs: jax.ShapeDtypeStruct) -> Any:
    """What `call(key, *inputs)` would return, from a trace that computes nothing.

    Args:
      call: a module's `init` or `init_with_output`, of a key and inputs.
      *inputs: shapes and dtypes of the inputs.

    Returns:
      As `call`. A leaf of the variables is `Declared` where its module declares one of
      `matnet_jax.nn.initializers`, and a `jax.ShapeDtypeStruct` where it has another initialiser.
    """
    with declaring():
        # A function of its own: JAX must not take this trace for one without declarations.
        return jax.eval_shape(lambda *arrays: call(jax.random.key(0), *arrays), *inputs)


def draw_variables(
    init: Callable[..., Any],
    *inputs: jax.ShapeDtypeStruct,
    seed: int,
    variables: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Initial variables, deterministic by seed.

    A declared leaf is a function of its path, its initialiser and the seed alone. Leaves with other
    initialisers, such as those of Flax's own modules, get what `init(jax.random.key(seed), …)`
    gives them: only what these need is compiled and run.

    Args:
      init: a module's `init`, of a key and inputs.
      *inputs: shapes and dtypes of the inputs, whose values must not matter.
      seed: of every draw.
      variables: what `declared(init, *inputs)` gave, where it was traced before.

    Returns:
      Collections by name, with NumPy arrays as leaves.
    """
    found = dict(declared(init, *inputs) if variables is None else variables)
    flat = traverse_util.flatten_dict(found, keep_empty_nodes=True)
    foreign = [path for path, leaf in flat.items() if isinstance(leaf, jax.ShapeDtypeStruct)]
    values = _run(init, inputs, foreign, seed) if foreign else {}
    for path, leaf in flat.items():
        if isinstance(leaf, Declared):
            name = "/".join(path)
            values[path] = leaf.draw(np.random.default_rng([seed, zlib.crc32(name.encode())]))
    return traverse_util.unflatten_dict(flat | values)


def _run(
    init: Callable[..., Any],
    inputs: tuple[jax.ShapeDtypeStruct, ...],
    paths: list[tuple[str, ...]],
    seed: int,
) -> dict[tuple[str, ...], np.ndarray]:
    @jax.jit
    def some() -> list[jax.Array]:
        arrays = (jnp.zeros(x.shape, x.dtype) for x in inputs)
        flat = traverse_util.flatten_dict(dict(init(jax.random.key(seed), *arrays)))
        return [flat[path] for path in paths]  # what they do not need is never compiled

    return dict(zip(paths, map(np.asarray, jax.device_get(some())), strict=True))
