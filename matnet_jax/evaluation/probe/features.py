"""Features of faces: of a frozen network, or figures of the image as a whole."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from data_pipeline.training.clips import frames_of
from data_pipeline.training.pipeline import eval_batches
from data_pipeline.training.sources import Source
from data_pipeline.training.statistics import image_statistics, sharpness_statistics
from matnet_jax.detectors.backboned import BackboneDetector
from matnet_jax.detectors.base import Detector
from matnet_jax.nn.layers import Dense
from matnet_jax.runtime.parts import images_at_once, in_parts

STATISTICS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "statistics": image_statistics,
    "sharpness": sharpness_statistics,
}
_READ_AT_ONCE = 64


def statistics_of(source: Source, name: str) -> np.ndarray:
    """Figures of each image as it is stored, float64 [N, D]; `name` of `STATISTICS`.

    Of a clip the means of its frames'.
    """
    parts = []
    for start in range(0, len(source), _READ_AT_ONCE):
        rows = np.arange(start, min(start + _READ_AT_ONCE, len(source)))
        parts += [
            np.mean([STATISTICS[name](image) for image in frames_of(example.image)], axis=0)
            for example in source.read(rows)
        ]
    return np.stack(parts)


def network_features(model: Detector, variables: Mapping[str, Any], images: jax.Array) -> jax.Array:
    """What a network's classifier would see.

    Args:
      model: of any family.
      variables: what its `apply` takes.
      images: [B, H, W, 3], or clips [B, T, H, W, 3], normalised.

    Returns:
      float32 [B, D]: the mean over space of the backbone's last stage; of a detector without a
      backbone, the input of its last dense layer. Of clips, the mean over time.

    Raises:
      ValueError: it has neither.
    """
    if isinstance(model, BackboneDetector):

        def final(module: Any, images: jax.Array) -> jax.Array:
            return module.endpoints(images, train=False)["final"]

        stage: Any = model.apply(variables, images, method=final)
        means = jnp.mean(stage.astype(jnp.float32), (1, 2))
        return jnp.mean(means.reshape(len(images), -1, means.shape[-1]), axis=1)
    seen = dense_layers(lambda: model.apply(variables, images, train=False))
    if not seen:
        raise ValueError(
            f"{model.description} has no backbone and no dense layer to take features of; probe "
            "another network, or --features=statistics"
        )
    _, given = seen[-1]
    if images.ndim == 5 and given.ndim == 3:
        given = jnp.mean(given, axis=1)
    return given.astype(jnp.float32).reshape(len(images), -1)


def dense_layers(run: Callable[[], Any]) -> list[tuple[tuple[str, ...], jax.Array]]:
    """Paths of the dense layers that a run of a network calls, in order, and what each is given."""
    seen: list[tuple[tuple[str, ...], jax.Array]] = []

    def keep(call: Any, args: Any, kwargs: Any, context: Any) -> Any:
        if isinstance(context.module, Dense | nn.Dense) and context.method_name == "__call__":
            seen.append((context.module.path, args[0]))
        return call(*args, **kwargs)

    with nn.intercept_methods(keep):
        run()
    return seen


def features_of(
    source: Source, model: Detector, variables: Mapping[str, Any], *, batch_size: int
) -> np.ndarray:
    """`network_features` of every example, float32 [N, D], on one device."""

    @jax.jit
    def step(variables: Any, images: jax.Array) -> jax.Array:
        return network_features(model, variables, model.preprocess.normalize(images))

    variables = jax.device_put(variables)
    size = images_at_once(batch_size, frames=model.clip_length)
    features = in_parts(functools.partial(step, variables), size, pad=True)
    found: np.ndarray | None = None
    for batch in eval_batches(source, batch_size=batch_size, image_size=model.image_size):
        values: np.ndarray = features(batch["image"])
        if found is None:
            found = np.full((len(source), values.shape[1]), np.nan, np.float32)
        kept = batch["index"] >= 0
        found[batch["index"][kept]] = values[kept]
    if found is None or not np.isfinite(found).all():
        raise ValueError("the network gave features that are not finite, or none")
    return found
