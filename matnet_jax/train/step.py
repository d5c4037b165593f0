"""One training step: a pure function of arrays, with no I/O, for any family's objective.

Meant for `jax.jit` with the batch sharded over devices: means, batch statistics and what else a
network collects are then over the global batch.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax

from matnet_jax.checkpoints.state import TrainState
from matnet_jax.detectors.base import Batch, Detector, Forward, Metrics, Objective
from matnet_jax.train.accumulate import accumulated
from matnet_jax.train.sam import sharpness_aware

Loss = Callable[..., tuple[jax.Array, tuple[dict[str, Any], Metrics]]]


def make_loss(model: Detector, objective: Objective) -> Loss:
    """The objective as a function of the parameters.

    Returns:
      loss(params, collections, batch, key, step) -> (scalar, (new collections, metrics)); batch as
      in `make_train_step`.
    """

    def loss(
        params: Any, collections: Mapping[str, Any], batch: Batch, key: jax.Array, step: jax.Array
    ) -> tuple[jax.Array, tuple[dict[str, Any], Metrics]]:
        weight = batch.get("weight")
        forward = Forward(model, params, collections, weight)
        inputs = {
            **batch,
            "image": model.preprocess.normalize(batch["image"]),
            "weight": jnp.ones(len(batch["label"]), jnp.float32) if weight is None else weight,
        }
        total, metrics = objective(forward, inputs, key, step)
        return total, (forward.collections, {"loss": total, **metrics})

    return loss


def make_train_step(
    model: Detector,
    objective: Objective,
    tx: optax.GradientTransformation,
    *,
    ema_decay: float | None = None,
    accumulate: int = 1,
    group: int = 1,
    ascent: optax.GradientTransformation | None = None,
    skip_nonfinite: bool = False,
    stop_frozen: Callable[[Any], Any] = lambda params: params,
) -> Callable[[TrainState, Batch, jax.Array], tuple[TrainState, Metrics]]:
    """Builds the training step; jit it with the state donated.

    Args:
      model: the network.
      objective: its loss, of the same family.
      tx: the optimiser whose state the `TrainState` holds.
      ema_decay: decay a step of the averaged parameters; needs a state created with `ema`.
      accumulate: parts of the batch that are computed one after the other; see `accumulated`.
      group: examples that stay together in a part.
      ascent: of sharpness-aware minimisation, see `sharpness_aware`; None for the gradient where
        the parameters are.
      skip_nonfinite: a step whose loss or gradient is NaN or infinite changes nothing but the step
        count, which the learning rate follows; the metric ``skipped`` is 1 then, and the others
        are 0.
      stop_frozen: gives the parameters back, frozen ones without a gradient: none is computed for
        them, and ``grad_norm`` is of the others.

    Returns:
      train_step(state, batch, key) -> (state, metrics). batch: image [B, H, W, 3] uint8, label [B]
      int32, and what the family reads; weight [B] float32 where examples may not count: one of
      weight 0 leaves the losses, the batch statistics and the feature centers as they would be
      without it. key: the run's root key; the step folds in `state.step`, so a restart draws what
      an uninterrupted run draws. metrics: float32 scalars over the global batch.

    Raises:
      ValueError: a sum over the batch cannot be accumulated from means.
    """
    if accumulate > 1 and getattr(objective, "reduction", "mean") == "sum":
        raise ValueError("accumulate > 1 averages the parts of a batch: not for a 'sum' over it")
    objective_loss = make_loss(model, objective)

    def loss(params: Any, *inputs: Any) -> Any:
        return objective_loss(stop_frozen(params), *inputs)

    def whole(
        params: Any, collections: Mapping[str, Any], batch: Batch, key: jax.Array, step: jax.Array
    ) -> tuple[Any, Any, Metrics]:
        (_, (collections, metrics)), grads = jax.value_and_grad(loss, has_aux=True)(
            params, collections, batch, key, step
        )
        return grads, collections, metrics

    gradient = accumulated(whole, accumulate, group)
    if ascent is not None:
        gradient = sharpness_aware(gradient, ascent)

    def train_step(state: TrainState, batch: Batch, key: jax.Array) -> tuple[TrainState, Metrics]:
        step_key = jax.random.fold_in(key, state.step)
        grads, collections, metrics = gradient(
            state.params, state.collections, batch, step_key, state.step
        )
        updates, opt_state = tx.update(grads, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        ema_params = state.ema_params
        if (ema_decay is None) != (ema_params is None):
            # Otherwise an average that never moves would be what evaluation takes.
            raise ValueError(
                f"the step was made with ema_decay={ema_decay}, but its state holds "
                f"{'no' if ema_params is None else 'an'} average of parameters: set ema_decay and "
                "create_train_state(…, ema=True) together, or neither"
            )
        if ema_decay is not None:
            ema_params = jax.tree.map(
                # Of what stays, such as frozen parameters, the average is that, to the bit.
                lambda average, x: average + (1.0 - ema_decay) * (x - average),
                state.ema_params,
                params,
            )
        metrics |= {"grad_norm": optax.tree.norm(grads)}
        new_state = TrainState(
            step=state.step + 1,
            params=params,
            opt_state=opt_state,
            collections=collections,
            ema_params=ema_params,
        )
        if skip_nonfinite:
            finite = jnp.isfinite(metrics["loss"]) & jnp.isfinite(metrics["grad_norm"])
            if ascent is not None:
                finite &= jnp.isfinite(metrics["sam_loss"])
            unchanged = dataclasses.replace(
                state,
                step=new_state.step,
                opt_state=_with_counts(state.opt_state, opt_state),
            )
            new_state = jax.tree.map(lambda a, b: jnp.where(finite, a, b), new_state, unchanged)
            metrics = {name: jnp.where(finite, value, 0.0) for name, value in metrics.items()}
            metrics["skipped"] = 1.0 - finite.astype(jnp.float32)
        return new_state, metrics

    return train_step


def _with_counts(before: Any, after: Any) -> Any:
    """An optimiser's state before a step, whose schedules have counted it all the same."""

    def counts(state: Any) -> bool:
        return isinstance(state, optax.ScaleByScheduleState)

    return jax.tree.map(lambda b, a: a if counts(a) else b, before, after, is_leaf=counts)
