"""One training step and one evaluation step: pure functions of arrays, with no I/O.

Both are meant for `jax.jit` with the batch sharded over devices: means, batch statistics and
feature centers are then over the global batch.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp
import optax

from matnet_jax.detectors.mat import agda as agda_lib
from matnet_jax.detectors.mat import losses
from matnet_jax.detectors.mat.agda import AGDAOptions
from matnet_jax.model import MAT, MATOutput, PlainClassifier
from matnet_jax.train.accumulate import accumulated
from matnet_jax.train.state import TrainState

Batch = dict[str, jax.Array]
Metrics = dict[str, jax.Array]


@dataclasses.dataclass(frozen=True)
class LossOptions:
    """Weights and margins of the total loss; the defaults are the paper's (eq. 5).

    Attributes:
      cross_entropy: λ1.
      auxiliary: "ril", "ams" or "none".
      auxiliary_weight: λ2, of the first pass's auxiliary loss.
      augmented: weight of the cross entropy of the augmented images.
      match: weight of the match loss (released recipe).
      inner_margin: m_in of RIL for (real, fake).
      outer_margin: m_out of RIL.
      batch_reduction: RIL's first term is printed as a "sum" over the batch; "mean" keeps the loss
        from growing with the global batch.
      label_smoothing: of both cross entropies.
      ams_scale, ams_margin: s and m of AMS.
    """

    cross_entropy: float = 1.0
    auxiliary: Literal["ril", "ams", "none"] = "ril"
    auxiliary_weight: float = 1.0
    augmented: float = 1.0
    match: float = 0.0
    inner_margin: tuple[float, float] = (0.05, 0.1)
    outer_margin: float = 0.2
    batch_reduction: Literal["mean", "sum"] = "mean"
    label_smoothing: float = 0.0
    ams_scale: float = 30.0
    ams_margin: float = 0.35

    def __post_init__(self) -> None:
        if self.auxiliary not in ("ril", "ams", "none"):
            raise ValueError(f"unknown auxiliary loss '{self.auxiliary}'; use ril, ams or none")
        if self.batch_reduction not in ("mean", "sum"):
            raise ValueError(f"unknown batch_reduction '{self.batch_reduction}'; use mean or sum")


def make_loss(
    model: MAT | PlainClassifier,
    *,
    options: LossOptions,
    agda: AGDAOptions | None,
    centers_move_twice: bool = False,
) -> Callable[..., tuple[jax.Array, tuple[dict[str, Any], Metrics]]]:
    """The total loss of both passes as a function of the parameters.

    Args:
      model: MAT, or a plain classifier (then without auxiliary loss and AGDA).
      options: see `LossOptions`.
      agda: None for no second pass.
      centers_move_twice: feature centers also move in the second pass (released recipe).

    Returns:
      loss(params, collections, batch, key, center_rate) -> (scalar, (new collections, metrics)).

    Raises:
      ValueError: the model lacks what the options ask for.
    """
    if agda is not None and agda.mode == "none":
        agda = None
    is_mat = isinstance(model, MAT)
    if not is_mat and (agda is not None or options.auxiliary != "none"):
        raise ValueError(
            "a plain classifier has no attention maps: train it with auxiliary='none' and no AGDA"
        )
    if options.auxiliary == "ams" and not getattr(model, "ams", False):
        raise ValueError("the AMS loss needs learned class centers: create_model(…, ams=True)")

    def forward(params, collections, images, labels, center_rate, key, mutable):
        return model.apply(
            {"params": params, **collections},
            images,
            labels=labels,
            train=True,
            center_rate=center_rate,
            rngs={"dropout": key},
            mutable=mutable,
        )

    def auxiliary(out: Any, labels, weight, center_rate) -> jax.Array:
        if options.auxiliary == "none":
            return jnp.zeros(())
        if options.auxiliary == "ams":
            per_example = losses.ams(
                out.region_features,
                out.ams_centers,
                scale=options.ams_scale,
                margin=options.ams_margin,
            )
            return _reduce(per_example, weight, options.batch_reduction)
        intra = losses.ril_intra(
            out.region_features,
            out.centers,
            labels,
            inner_margin=options.inner_margin,
            version=model.ril_version,
        )
        inter = losses.ril_inter(
            out.centers,
            outer_margin=options.outer_margin,
            center_rate=center_rate,
            version=model.ril_version,
        )
        return _reduce(intra, weight, options.batch_reduction) + inter

    def entropy(out: MATOutput, labels, weight) -> jax.Array:
        smoothing = options.label_smoothing
        return _mean(
            losses.cross_entropy(out.logits, labels, label_smoothing=smoothing),
            weight,
        )

    def loss(params, collections, batch, key, center_rate):
        labels = batch["label"]
        weight = batch.get("weight", jnp.ones(labels.shape, jnp.float32))
        images = model.preprocess.normalize(batch["image"])
        first_key, second_key, agda_key = jax.random.split(key, 3)
        mutable = list(collections)
        out, collections = forward(
            params, collections, images, labels, center_rate, first_key, mutable
        )
        first = entropy(out, labels, weight)
        total = options.cross_entropy * first
        metrics = {"cross_entropy": first, "accuracy": _mean(_correct(out, labels), weight)}
        if options.auxiliary != "none":
            metrics[options.auxiliary] = auxiliary(out, labels, weight, center_rate)
            total += options.auxiliary_weight * metrics[options.auxiliary]
        if agda is not None:
            augmented = agda_lib.augment(agda_key, images, out.attention_maps, agda)
            second_mutable = mutable if centers_move_twice else ["batch_stats"]
            second_labels = labels if centers_move_twice else None
            out_2, moved = forward(
                params,
                collections,
                augmented.images,
                second_labels,
                center_rate,
                second_key,
                second_mutable,
            )
            collections = {**collections, **moved}
            metrics["augmented_cross_entropy"] = entropy(out_2, labels, weight)
            total += options.augmented * metrics["augmented_cross_entropy"]
            if options.match:
                metrics["match"] = _mean(
                    losses.match(out_2.region_features, out.region_features, augmented.map_index),
                    weight,
                )
                total += options.match * metrics["match"]
        return total, (collections, {"loss": total, **metrics})

    return loss


def make_train_step(
    model: MAT | PlainClassifier,
    tx: optax.GradientTransformation,
    *,
    options: LossOptions,
    agda: AGDAOptions | None,
    center_rate: Callable[[jax.Array], jax.Array | float],
    centers_move_twice: bool = False,
    ema_decay: float | None = None,
    accumulate: int = 1,
    skip_nonfinite: bool = False,
) -> Callable[[TrainState, Batch, jax.Array], tuple[TrainState, Metrics]]:
    """Builds the training step; jit it with the state donated.

    Args:
      model, options, agda, centers_move_twice: see `make_loss`.
      tx: the optimiser whose state the `TrainState` holds.
      center_rate: α of eq. 4 as a function of the step.
      ema_decay: decay a step of the averaged parameters; needs a state created with `ema`.
      accumulate: parts of the batch that are computed one after the other; see `accumulated`.
      skip_nonfinite: a step whose loss or gradient is NaN or infinite changes nothing but the step
        count; the metric ``skipped`` is 1 then, and the others are 0.

    Returns:
      train_step(state, batch, key) -> (state, metrics). batch: image [B, H, W, 3] uint8, label [B]
      int32, perhaps weight [B] float32 (0 leaves an example out of the losses; without it all
      count). key: the run's root key; the step folds in `state.step`, so a restart draws what an
      uninterrupted run draws. metrics: float32 scalars over the global batch.

    Raises:
      ValueError: a sum over the batch cannot be accumulated from means.
    """
    if accumulate > 1 and options.batch_reduction == "sum":
        raise ValueError("accumulate > 1 averages the parts of a batch: not for a 'sum' over it")
    loss = make_loss(model, options=options, agda=agda, centers_move_twice=centers_move_twice)

    def gradient(params, collections, batch, key, rate):
        (_, (collections, metrics)), grads = jax.value_and_grad(loss, has_aux=True)(
            params, collections, batch, key, rate
        )
        return grads, collections, metrics

    gradient = accumulated(gradient, accumulate)

    def train_step(state: TrainState, batch: Batch, key: jax.Array) -> tuple[TrainState, Metrics]:
        rate = center_rate(state.step)
        collections = {"batch_stats": state.batch_stats, "feature_centers": state.feature_centers}
        step_key = jax.random.fold_in(key, state.step)
        grads, collections, metrics = gradient(state.params, collections, batch, step_key, rate)
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
            ema_params = optax.incremental_update(params, state.ema_params, 1.0 - ema_decay)
        metrics |= {"grad_norm": optax.tree.norm(grads), "center_rate": jnp.asarray(rate)}
        new_state = TrainState(
            step=state.step + 1,
            params=params,
            opt_state=opt_state,
            batch_stats=collections["batch_stats"],
            feature_centers=collections.get("feature_centers", {}),
            ema_params=ema_params,
        )
        if skip_nonfinite:
            finite = jnp.isfinite(metrics["loss"]) & jnp.isfinite(metrics["grad_norm"])
            unchanged = dataclasses.replace(state, step=new_state.step)
            new_state = jax.tree.map(lambda a, b: jnp.where(finite, a, b), new_state, unchanged)
            metrics = {name: jnp.where(finite, value, 0.0) for name, value in metrics.items()}
            metrics["skipped"] = 1.0 - finite.astype(jnp.float32)
        return new_state, metrics

    return train_step


def make_eval_step(
    model: MAT | PlainClassifier, *, return_maps: bool = False
) -> Callable[[dict[str, Any], Batch], dict[str, jax.Array]]:
    """Builds the evaluation step.

    Returns:
      eval_step(variables, batch) -> {"score": [B] P(fake), "logits": [B, C], "loss_sum",
      "correct_sum", "count": weighted sums over the global batch} and, with `return_maps`,
      "attention_maps" [B, h, w, M]. Variables are never changed.
    """

    def eval_step(variables: dict[str, Any], batch: Batch) -> dict[str, jax.Array]:
        images = model.preprocess.normalize(batch["image"])
        out: Any = model.apply(variables, images, train=False)
        labels, weight = batch["label"], batch["weight"]
        result = {
            "score": jax.nn.softmax(out.logits)[:, 1],
            "logits": out.logits,
            "loss_sum": jnp.sum(losses.cross_entropy(out.logits, labels) * weight),
            "correct_sum": jnp.sum(_correct(out, labels) * weight),
            "count": jnp.sum(weight),
        }
        if return_maps:
            result["attention_maps"] = out.attention_maps
        return result

    return eval_step


def _correct(out: MATOutput, labels: jax.Array) -> jax.Array:
    return (jnp.argmax(out.logits, axis=-1) == labels).astype(jnp.float32)


def _mean(per_example: jax.Array, weight: jax.Array) -> jax.Array:
    return jnp.sum(per_example * weight) / jnp.maximum(jnp.sum(weight), 1.0)


def _reduce(per_example: jax.Array, weight: jax.Array, reduction: str) -> jax.Array:
    if reduction == "sum":
        return jnp.sum(per_example * weight)
    return _mean(per_example, weight)
