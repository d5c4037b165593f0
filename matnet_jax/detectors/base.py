"""What every detector is: how pixels become its input, and what one forward pass gives."""

from __future__ import annotations

import dataclasses
import difflib
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp


@flax.struct.dataclass
class MATOutput:
    """What one forward pass gives. A plain classifier has logits and global_feature only.

    Attributes:
      logits: [B, num_classes] float32; class 1 is fake.
      attention_maps: A, [B, h, w, M], not negative.
      texture_matrix: P, [B, M, C_F].
      global_feature: G, [B, C].
      region_features: V, [B, M, N].
      centers: c^t, [M, N], with its gradient; None unless training with labels.
      ams_centers: learned class centers of the AMS loss, [M, N]; None without them.
    """

    logits: jax.Array
    attention_maps: jax.Array | None = None
    texture_matrix: jax.Array | None = None
    global_feature: jax.Array | None = None
    region_features: jax.Array | None = None
    centers: jax.Array | None = None
    ams_centers: jax.Array | None = None


@dataclasses.dataclass(frozen=True)
class Preprocess:
    """How pixels become the network's input: resize to image_size, /255, minus mean, over std."""

    image_size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    def normalize(self, pixels_0_255: jax.Array) -> jax.Array:
        """uint8 RGB [..., 3] -> float32."""
        mean, std = (jnp.asarray(v, jnp.float32) for v in (self.mean, self.std))
        return (pixels_0_255.astype(jnp.float32) / 255.0 - mean) / std


def _build(kind, fields: dict[str, Any], recipe: dict[str, Any], overrides: dict[str, Any]):
    known = {f.name for f in dataclasses.fields(kind)} - {"parent", "name"}
    for name in overrides:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean '{close[0]}'?" if close else ""
            raise ValueError(
                f"{kind.__name__} has no field '{name}'{hint} Available: {', '.join(sorted(known))}"
            )
    return kind(**(fields | recipe | overrides))
