"""One evaluation step: a pure function of variables and a batch, the same for every family."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from matnet_jax.detectors.base import Batch, Detector
from matnet_jax.detectors.inference import infer
from matnet_jax.nn.losses import cross_entropy


def make_eval_step(model: Detector) -> Callable[[Mapping[str, Any], Batch], dict[str, Any]]:
    """Builds the evaluation step.

    Returns:
      eval_step(variables, batch) -> {"score": [B] P(fake), "logits": [B, C], "heatmaps": {name:
      [B, h, w, K]}, "loss_sum": of the global batch, see `loss_sum`}. A network that judges each
      frame of a clip has [B, T] in place of [B]. Variables are never changed.
    """

    def eval_step(variables: Mapping[str, Any], batch: Batch) -> dict[str, Any]:
        found = infer(model, variables, model.preprocess.normalize(batch["image"]))
        logits = found.outputs["logits"]
        loss = loss_sum(logits, batch["label"], batch["weight"])
        return {
            "score": found.score,
            "logits": logits,
            "heatmaps": found.heatmaps,
            "loss_sum": loss,
        }

    return eval_step


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
