"""The training state before the first step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax

from matnet_jax.checkpoints.state import TrainState
from matnet_jax.detectors.base import Detector
from matnet_jax.detectors.variables import init_variables


def create_train_state(
    model: Detector,
    tx: optax.GradientTransformation,
    seed: int,
    *,
    variables: Mapping[str, Any] | None = None,
    ema: bool = False,
) -> TrainState:
    """The state before the first step, on the default device.

    Args:
      model: its variables are initialised by `seed` unless given.
      tx: the optimiser.
      seed: of the initial values.
      variables: initial variables, from a foreign checkpoint say.
      ema: keeps a moving average of the parameters.
    """

    @jax.jit  # one program: array by array, each shape would compile its own
    def build(variables: dict[str, Any]) -> TrainState:
        # Copies: the step donates its state, and must not eat arrays that the caller still holds.
        averaged = jax.tree.map(jnp.copy, variables["params"]) if ema else None
        copied = jax.tree.map(jnp.copy, variables)
        params = copied.pop("params")
        return TrainState(
            step=jnp.zeros((), jnp.int32),
            params=params,
            opt_state=tx.init(params),
            collections=copied,
            ema_params=averaged,
        )

    return build(init_variables(model, seed) if variables is None else dict(variables))
