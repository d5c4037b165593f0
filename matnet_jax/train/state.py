"""The training state: arrays only; model and optimiser are closed over by the step."""

from __future__ import annotations

from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import optax

from matnet_jax.model import MAT, PlainClassifier, init_variables


@flax.struct.dataclass
class TrainState:
    """Everything that a training step changes and a checkpoint keeps.

    Attributes:
      step: int32 scalar, finished steps.
      params: float32.
      opt_state: of the optimiser.
      batch_stats: running means and variances, float32.
      feature_centers: {"centers": [M, N] float32}; empty for a plain classifier.
      ema_params: moving average of params, or None.
    """

    step: jax.Array
    params: Any
    opt_state: Any
    batch_stats: Any
    feature_centers: Any
    ema_params: Any | None = None

    @property
    def variables(self) -> dict[str, Any]:
        """What `model.apply` takes, with the parameters being trained."""
        return {
            "params": self.params,
            "batch_stats": self.batch_stats,
            "feature_centers": self.feature_centers,
        }

    @property
    def eval_variables(self) -> dict[str, Any]:
        """What `model.apply` takes for evaluation: averaged parameters where there are any."""
        params = self.params if self.ema_params is None else self.ema_params
        return self.variables | {"params": params}


def create_train_state(
    model: MAT | PlainClassifier,
    tx: optax.GradientTransformation,
    seed: int,
    *,
    variables: dict[str, Any] | None = None,
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
    variables = init_variables(model, seed) if variables is None else variables

    @jax.jit  # one program: array by array, each shape would compile its own
    def build(variables: dict[str, Any]) -> TrainState:
        # Copies: the step donates its state, and must not eat arrays that the caller still holds.
        params, stats, centers, averaged = jax.tree.map(
            jnp.copy,
            (
                variables["params"],
                variables["batch_stats"],
                variables.get("feature_centers", {}),
                variables["params"] if ema else None,
            ),
        )
        return TrainState(
            step=jnp.zeros((), jnp.int32),
            params=params,
            opt_state=tx.init(params),
            batch_stats=stats,
            feature_centers=centers,
            ema_params=averaged,
        )

    return build(variables)
