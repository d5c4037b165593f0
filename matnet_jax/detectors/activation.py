"""Class activation maps: a heat map of every network that ends in pooling and a dense layer."""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

NAME = "class_activation"
"""Of the heat map, and of the output it is made of."""


def evidence_of_places(features: jax.Array, head: nn.Module) -> jax.Array:
    """What each place says for fake: [B, h, w, C] -> [B, h, w, 1] float32.

    A dense layer commutes with the mean over places, so that the mean of these is the difference of
    the logits of the averaged features (Zhou et al., "Learning deep features for discriminative
    localization", CVPR 2016, with the bias shared out evenly).

    Args:
      features: what is averaged.
      head: the dense layer after it: [..., C] -> [..., 2], real and fake, or [..., 1], their
        difference.
    """
    logits = head(features).astype(jnp.float32)
    return logits[..., -1:] - logits[..., :1] if logits.shape[-1] == 2 else logits


def class_activation(out: Any) -> dict[str, jax.Array]:
    """The heat map of an output that has ``class_activation``: the places that say fake."""
    return {NAME: nn.relu(out[NAME])}
