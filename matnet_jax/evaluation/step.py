"""One evaluation step: a pure function of variables and a batch, the same for every family."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from matnet_jax.detectors.base import Batch, Detector
from matnet_jax.detectors.inference import infer
from matnet_jax.nn.losses import cross_entropy


def make_eval_step(
    model: Detector, *, at_once: int | None = None
) -> Callable[[Mapping[str, Any], Batch], dict[str, Any]]:
    """Builds the evaluation step.

    Args:
      at_once: images, or clips, of a batch that the network computes at a time, or their next
        lower number that divides the batch; None for all.

    Returns:
      eval_step(variables, batch) -> {"score": [B] P(fake), "logits": [B, C], "heatmaps": {name:
      [B, h, w, K]}, "loss_sum": of the global batch, see `loss_sum`}. A network that judges each
      frame of a clip has [B, T] in place of [B]. Variables are never changed.
    """

    def eval_step(variables: Mapping[str, Any], batch: Batch) -> dict[str, Any]:
        def found(images: jax.Array) -> dict[str, Any]:
            of = infer(model, variables, model.preprocess.normalize(images))
            return {"score": of.score, "logits": of.outputs["logits"], "heatmaps": of.heatmaps}

        out = _mapped(found, batch["image"], at_once)
        return {**out, "loss_sum": loss_sum(out["logits"], batch["label"], batch["weight"])}

    return eval_step


def _mapped(found: Callable[[jax.Array], Any], images: jax.Array, most: int | None) -> Any:
    """What a function of images [B, ...] -> a tree of [B, ...] says of part after part of them."""
    count = len(images)
    size = max(n for n in range(1, min(most or count, count) + 1) if count % n == 0)
    if size == count:
        return found(images)
    parts = jax.lax.map(found, images.reshape(-1, size, *images.shape[1:]))
    return jax.tree.map(lambda array: array.reshape(-1, *array.shape[2:]), parts)


def loss_sum(logits: jax.Array, labels: jax.Array, weight: jax.Array) -> jax.Array:
    """Weighted sum of the cross entropy over a batch, nats, a scalar.

    Args:
      logits: [B, C], or [B, T, C] of each frame of a clip, which counts by their mean.
      labels: int32 [B].
      weight: [B].
    """
    frames = logits.shape[1] if logits.ndim == 3 else 1
    each = logits.reshape(-1, logits.shape[-1])
    labels, share = jnp.repeat(labels, frames), jnp.repeat(weight / frames, frames)
    return jnp.sum(cross_entropy(each, labels) * share)
