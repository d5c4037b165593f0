"""Sharpness-aware minimisation (Foret et al., ICLR 2021, arXiv 2010.01412): gradients from uphill.

With g the gradient at w, the step at w takes the gradient at w' = w + ρ·g / ‖g‖ (their eq. 2, 3),
where the loss of the neighbourhood is about highest: flat minima win over sharp ones.
"""

from __future__ import annotations

from typing import Any

import jax
import optax

from matnet_jax.train.accumulate import Gradient, Result


def sharpness_aware(gradient: Gradient, ascent: optax.GradientTransformation) -> Gradient:
    """`gradient`, taken at the parameters that `ascent` leads to.

    Both passes are of one function: the same batch, and the same key for dropout and augmentation,
    so that w' is uphill of the very loss whose gradient is taken there. What a network collects
    moves in both, the second from where the first left it: batch statistics, as in the training
    of self-blended images, and feature centers, by nearly twice their rate.

    Args:
      gradient: (params, collections, batch, key, step) -> (grads, collections, metrics), of the
        whole global batch: ‖g‖ is then that of the step, whatever the devices and parts are. (The
        paper's runs on several accelerators had a w' for each.)
      ascent: gradient at w -> w' − w, without a state; see `optim.create_ascent`.

    Returns:
      A function of the same arguments. The metrics are those at w, and ``sam_loss`` at w'.
    """

    # Not `optax.contrib.sam`: its gradient function gives gradients alone, so collections and
    # metrics of the second pass are lost; its normalisation gives NaN for a gradient of 0; and its
    # own state would stand in the checkpoints, so that a run could not continue with SAM turned on
    # or off. Where it applies, both give the same (tests/test_sam.py).
    def run(
        params: Any, collections: Any, batch: dict[str, jax.Array], key: jax.Array, step: Any
    ) -> Result:
        grads, collections, metrics = gradient(params, collections, batch, key, step)
        uphill, _ = ascent.update(grads, ascent.init(params), params)
        raised = optax.apply_updates(params, uphill)
        grads, collections, there = gradient(raised, collections, batch, key, step)
        return grads, collections, metrics | {"sam_loss": there["loss"]}

    return run
