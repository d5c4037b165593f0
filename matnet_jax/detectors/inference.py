"""The one forward path of evaluation, export and prediction."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from matnet_jax.detectors.base import Detector


class Inference(NamedTuple):
    """What a network says of images; float32.

    Attributes:
      score: P(fake), [B]; of a network that judges each frame of a clip [B, T].
      heatmaps: where it looked, [B, h, w, K] by name, or [B, T, h, w, K] as the score; empty where
        a family has none.
      outputs: the network's own outputs by name, ``logits`` [B, 2] among them; of the images alone,
        where the score and the heat maps are of their mirror images too.
    """

    score: jax.Array
    heatmaps: dict[str, jax.Array]
    outputs: dict[str, jax.Array]

    def arrays(self) -> dict[str, jax.Array]:
        """All of it by name, the score as ``score``."""
        return {**self.outputs, **self.heatmaps, "score": self.score}


def infer(model: Detector, variables: Mapping[str, Any], images: jax.Array) -> Inference:
    """Runs a network without training.

    Args:
      model: of any family.
      variables: what its `apply` takes; never changed.
      images: [B, H, W, 3] float32, normalised, or clips [B, T, H, W, 3].
    """
    out: Any = model.apply(variables, images, train=False)
    score, heatmaps = model.score(out).astype(jnp.float32), _float32(model.heatmaps(out))
    if model.mirrored:
        other: Any = model.apply(variables, _mirror(images), train=False)
        score = (score + model.score(other).astype(jnp.float32)) / 2
        for name, maps in _float32(model.heatmaps(other)).items():
            heatmaps[name] = (heatmaps[name] + _mirror(maps)) / 2
    outputs = _float32({name: out[name] for name in out.keys()})  # noqa: SIM118 (may be a struct)
    return Inference(score, heatmaps, outputs)


def _mirror(images: jax.Array) -> jax.Array:
    """Left and right exchanged: [..., H, W, C] -> the same."""
    return images[..., ::-1, :]


def _float32(arrays: Mapping[str, jax.Array]) -> dict[str, jax.Array]:
    return {name: array.astype(jnp.float32) for name, array in arrays.items()}
