"""One evaluation step: a pure function of variables and a batch, the same for every family."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from matnet_jax.detectors.base import Batch, Detector
from matnet_jax.detectors.inference import infer
from matnet_jax.nn.losses import correct, cross_entropy


def make_eval_step(model: Detector) -> Callable[[Mapping[str, Any], Batch], dict[str, Any]]:
    """Builds the evaluation step.

    Returns:
      eval_step(variables, batch) -> {"score": [B] P(fake), "logits": [B, C], "heatmaps": {name:
      [B, h, w, K]}, and "loss_sum", "correct_sum", "count": weighted sums over the global batch}.
      A network that judges each frame of a clip has [B, T] in place of [B] in what is not a sum,
      and its clips count in these by the means of their frames. Variables are never changed.
    """

    def eval_step(variables: Mapping[str, Any], batch: Batch) -> dict[str, Any]:
        found = infer(model, variables, model.preprocess.normalize(batch["image"]))
        logits = found.outputs["logits"]
        sums = weighted_sums(logits, batch["label"], batch["weight"])
        return {"score": found.score, "logits": logits, "heatmaps": found.heatmaps, **sums}

    return eval_step


def weighted_sums(logits: jax.Array, labels: jax.Array, weight: jax.Array) -> dict[str, jax.Array]:
    """Sums over a batch: ``loss_sum`` (cross entropy, nats), ``correct_sum``, ``count``.

    Args:
      logits: [B, C], or [B, T, C] of each frame of a clip, which counts by their mean.
      labels: int32 [B].
      weight: [B].
    """
    frames = logits.shape[1] if logits.ndim == 3 else 1
    each = logits.reshape(-1, logits.shape[-1])
    labels, share = jnp.repeat(labels, frames), jnp.repeat(weight / frames, frames)
    return {
        "loss_sum": jnp.sum(cross_entropy(each, labels) * share),
        "correct_sum": jnp.sum(correct(each, labels) * share),
        "count": jnp.sum(weight),
    }
