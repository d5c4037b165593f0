"""The training state: arrays only; model and optimiser are closed over by the step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import flax.struct
import jax


@flax.struct.dataclass
class TrainState:
    """Everything that a training step changes and a checkpoint keeps.

    Attributes:
      step: int32 scalar, finished steps.
      params: float32.
      opt_state: of the optimiser.
      collections: the network's other variables by collection, float32: ``batch_stats``, running
        means and variances; ``feature_centers``; whatever a family has.
      ema_params: moving average of params, or None.
    """

    step: jax.Array
    params: Any
    opt_state: Any
    collections: Mapping[str, Any]
    ema_params: Any | None = None

    @property
    def variables(self) -> dict[str, Any]:
        """What `model.apply` takes, with the parameters being trained."""
        return {"params": self.params, **self.collections}

    @property
    def eval_variables(self) -> dict[str, Any]:
        """What `model.apply` takes for evaluation: averaged parameters where there are any."""
        params = self.params if self.ema_params is None else self.ema_params
        return self.variables | {"params": params}
