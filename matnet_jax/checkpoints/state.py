"""The training state: arrays only; model and optimiser are closed over by the step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import flax.struct
import jax
import numpy as np

from matnet_jax.detectors.assembly import flatten


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


def split(state: TrainState) -> tuple[dict[str, Any], dict[str, Any]]:
    """The network and the optimiser, as a checkpoint has them."""
    # Collections stand beside the parameters, as checkpoints of version 0.1 have them.
    network = {"params": state.params, **state.collections, "ema_params": state.ema_params}
    return network, {"step": state.step, "opt_state": state.opt_state}


def joined(network: Mapping[str, Any], optimizer: Mapping[str, Any]) -> TrainState:
    """The state that `split` took apart."""
    collections = dict(network)
    params, average = collections.pop("params"), collections.pop("ema_params")
    return TrainState(params=params, collections=collections, ema_params=average, **optimizer)


def named_arrays(network: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """A saved network's arrays by path; its averaged parameters where it has them."""
    collections = dict(network)
    average = collections.pop("ema_params", None)
    if average is not None:
        collections["params"] = average
    return flatten({name: tree for name, tree in collections.items() if tree})
