"""Random variables for a module: every leaf a function of its path, none at a special value."""

from __future__ import annotations

import zlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

_MEAN_AND_SPREAD = {
    "bias": (0.0, 0.2),
    "mean": (0.0, 0.2),
    "scale": (1.0, 0.2),
    "centers": (0.0, 0.1),
}


def random_leaf(path: str, shape: tuple[int, ...]) -> np.ndarray:
    draw = np.random.default_rng(zlib.crc32(path.encode()))
    name = path.rsplit("/", 1)[-1]
    if name == "var":
        return (0.5 + draw.random(shape)).astype(np.float32)
    mean, spread = _MEAN_AND_SPREAD.get(name, (0.0, 1 / np.sqrt(np.prod(shape[:-1]))))
    return (mean + spread * draw.standard_normal(shape)).astype(np.float32)


def random_variables(module: Any, *args: Any, **options: Any) -> dict:
    """Variables of the shapes that `module.init(key, *args, **options)` would give."""

    def init(*arrays: Any) -> Any:
        return module.init(jax.random.key(0), *arrays, **options)

    shapes = jax.eval_shape(init, *jax.tree.map(jnp.asarray, args))
    return jax.tree_util.tree_map_with_path(
        lambda path, leaf: random_leaf("/".join(k.key for k in path), leaf.shape), shapes
    )


def telling_variables(model: Any, images: Any) -> dict:
    """Random variables of a MAT or a classifier, by which scores of `images` are far apart.

    Its statistics are those of the images, without which all of them look alike to deep layers, and
    its logits lie about 0, from -2 to 2.
    """
    variables = random_variables(model, images)
    learning, options = model.clone(batch_norm_momentum=0.0), {"dropout": jax.random.key(0)}

    @jax.jit
    def learn(variables: Any) -> Any:
        return learning.apply(variables, images, train=True, rngs=options, mutable=["batch_stats"])[
            1
        ]

    variables |= learn(variables)
    logits = np.asarray(jax.jit(model.apply)(variables, images).logits)
    margin = logits[:, 1] - logits[:, 0]
    last = variables["params"]["head"].get("logits", variables["params"]["head"])
    gain = 4 / np.ptp(margin)
    last["kernel"] = gain * last["kernel"]
    last["bias"] = gain * (last["bias"] - np.array([0, (margin.max() + margin.min()) / 2]))
    return variables
