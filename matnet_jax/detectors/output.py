"""What one forward pass of the paper's networks gives: a struct that also reads as a mapping."""

from __future__ import annotations

import dataclasses

import flax.struct
import jax


@flax.struct.dataclass
class MATOutput:
    """``out.logits`` and ``out["logits"]``; ``dict(out)`` has the fields that are not None.

    A plain classifier has logits, global_feature, class_activation and, with a fine map,
    boundary_logits.

    Attributes:
      logits: [B, num_classes] float32; class 1 is fake.
      attention_maps: A, [B, h, w, M], not negative.
      texture_matrix: P, [B, M, C_F].
      global_feature: G, [B, C].
      region_features: V, [B, M, N].
      centers: c^t, [M, N], with its gradient; None unless training with labels.
      ams_centers: learned class centers of the AMS loss, [M, N]; None without them, and unless
        training.
      boundary_logits: of the blending boundary, [B, h, w] float32; None without a fine map.
      class_activation: what each place says for fake, [B, h, w, 1] float32; its mean is the
        difference of the logits, but for dropout.
    """

    logits: jax.Array
    attention_maps: jax.Array | None = None
    texture_matrix: jax.Array | None = None
    global_feature: jax.Array | None = None
    region_features: jax.Array | None = None
    centers: jax.Array | None = None
    ams_centers: jax.Array | None = None
    boundary_logits: jax.Array | None = None
    class_activation: jax.Array | None = None

    def keys(self) -> list[str]:
        """Names of the fields that are not None."""
        names = (field.name for field in dataclasses.fields(self))
        return [name for name in names if getattr(self, name) is not None]

    def __getitem__(self, name: str) -> jax.Array:
        if name not in self.keys():
            raise KeyError(f"no output '{name}'; available: {', '.join(self.keys())}")
        return getattr(self, name)

    def __contains__(self, name: str) -> bool:
        return name in self.keys()
