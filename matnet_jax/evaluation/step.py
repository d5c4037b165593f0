"""One evaluation step: a pure function of variables and a batch, the same for every family."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax.numpy as jnp

from matnet_jax.detectors.base import Batch, Detector
from matnet_jax.detectors.inference import infer
from matnet_jax.nn.losses import correct, cross_entropy


def make_eval_step(model: Detector) -> Callable[[Mapping[str, Any], Batch], dict[str, Any]]:
    """Builds the evaluation step.

    Returns:
      eval_step(variables, batch) -> {"score": [B] P(fake), "logits": [B, C], "heatmaps": {name:
      [B, h, w, K]}, and "loss_sum", "correct_sum", "count": weighted sums over the global batch}.
      Variables are never changed.
    """

    def eval_step(variables: Mapping[str, Any], batch: Batch) -> dict[str, Any]:
        found = infer(model, variables, model.preprocess.normalize(batch["image"]))
        labels, weight, logits = batch["label"], batch["weight"], found.outputs["logits"]
        return {
            "score": found.score,
            "logits": logits,
            "heatmaps": found.heatmaps,
            "loss_sum": jnp.sum(cross_entropy(logits, labels) * weight),
            "correct_sum": jnp.sum(correct(logits, labels) * weight),
            "count": jnp.sum(weight),
        }

    return eval_step
