"""What MAT is trained with: both passes' losses (eq. 5), as one function of arrays."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal

import jax
import jax.numpy as jnp
import optax

from matnet_jax.detectors.base import Batch, Forward, Metrics, Steps
from matnet_jax.detectors.durations import POSITIVE_DURATION
from matnet_jax.detectors.fields import (
    DECAY,
    FRACTION,
    NOT_NEGATIVE,
    POSITIVE,
    RATE,
    Range,
    check_values,
)
from matnet_jax.detectors.fine_map import FineMap
from matnet_jax.detectors.fine_map import derive as derive_fine_map
from matnet_jax.detectors.mat import agda as agda_lib
from matnet_jax.detectors.mat import losses as mat_losses
from matnet_jax.detectors.mat.agda import AGDAOptions
from matnet_jax.detectors.mat.losses import RILVersion
from matnet_jax.detectors.mat.network import MAT
from matnet_jax.detectors.variables import abstract_output
from matnet_jax.nn.losses import correct, cross_entropy, weighted_mean

_TWO = Range(lambda v: len(v) == 2, "two numbers: for real, for fake")


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
      ams_scale: s of AMS.
      ams_margin: m of AMS.
    """

    cross_entropy: Annotated[float, NOT_NEGATIVE] = 1.0
    auxiliary: Literal["ril", "ams", "none"] = "ril"
    auxiliary_weight: Annotated[float, NOT_NEGATIVE] = 1.0
    augmented: Annotated[float, NOT_NEGATIVE] = 1.0
    match: Annotated[float, NOT_NEGATIVE] = 0.0
    inner_margin: Annotated[tuple[float, float], _TWO] = (0.05, 0.1)
    outer_margin: float = 0.2
    batch_reduction: Literal["mean", "sum"] = "mean"
    label_smoothing: Annotated[float, RATE] = 0.0
    ams_scale: Annotated[float, POSITIVE] = 30.0
    ams_margin: Annotated[float, NOT_NEGATIVE] = 0.35

    def __post_init__(self) -> None:
        check_values(type(self), vars(self))


@dataclasses.dataclass(frozen=True)
class CenterOptions:
    """How the feature centers move (eq. 4).

    Attributes:
      rate: α.
      decay_rate: factor of α after every period.
      decay_every: that period.
      move_twice: they also move in the second pass (released recipe).
    """

    rate: Annotated[float, FRACTION] = 0.05
    decay_rate: Annotated[float, DECAY] = 0.9
    decay_every: Annotated[str, POSITIVE_DURATION] = "1 epoch"
    move_twice: bool = False


@dataclasses.dataclass(frozen=True)
class MATObjective:
    """The total loss of both passes.

    Attributes:
      losses: see `LossOptions`.
      agda: None for no second pass.
      center_rate: α of eq. 4 as a function of the step.
      ril_version: the model's.
      move_twice: feature centers also move in the second pass.
      fine_map: None for no loss of that.
    """

    losses: LossOptions
    agda: AGDAOptions | None
    center_rate: Callable[[jax.Array], jax.Array | float]
    ril_version: RILVersion = "paper"
    move_twice: bool = False
    fine_map: FineMap | None = None

    @property
    def reduction(self) -> str:
        """Whether the loss is a "mean" over the batch, or has a "sum" over it."""
        return self.losses.batch_reduction

    def __call__(
        self, forward: Forward, batch: Batch, key: jax.Array, step: jax.Array
    ) -> tuple[jax.Array, Metrics]:
        """See `Objective`."""
        options, rate = self.losses, self.center_rate(step)
        images, labels, weight = batch["image"], batch["label"], batch["weight"]
        first_key, second_key, agda_key = jax.random.split(key, 3)
        out = forward(images, key=first_key, labels=labels, center_rate=rate)
        if out.attention_maps is None:
            raise ValueError(
                "a plain classifier has no attention maps: train it with its own objective"
            )
        first = self._entropy(out, labels, weight)
        total = options.cross_entropy * first
        metrics = {
            "cross_entropy": first,
            "accuracy": weighted_mean(correct(out.logits, labels), weight),
            "center_rate": jnp.asarray(rate),
        }
        if options.auxiliary != "none":
            metrics[options.auxiliary] = self._auxiliary(out, labels, weight, rate)
            total += options.auxiliary_weight * metrics[options.auxiliary]
        if self.fine_map is not None:
            metrics["fine_map"] = self.fine_map(out.boundary_logits, batch)
            total += self.fine_map.weight * metrics["fine_map"]
        if self.agda is None:
            return total, metrics
        augmented = agda_lib.augment(agda_key, images, out.attention_maps, self.agda)
        second = forward(
            augmented.images,
            key=second_key,
            keep=() if self.move_twice else ("feature_centers",),
            labels=labels if self.move_twice else None,
            center_rate=rate,
        )
        metrics["augmented_cross_entropy"] = self._entropy(second, labels, weight)
        total += options.augmented * metrics["augmented_cross_entropy"]
        if options.match:
            moved = mat_losses.match(
                second.region_features, out.region_features, augmented.map_index
            )
            metrics["match"] = weighted_mean(moved, weight)
            total += options.match * metrics["match"]
        return total, metrics

    def _entropy(self, out: Any, labels: jax.Array, weight: jax.Array) -> jax.Array:
        smoothing = self.losses.label_smoothing
        return weighted_mean(cross_entropy(out.logits, labels, label_smoothing=smoothing), weight)

    def _auxiliary(
        self, out: Any, labels: jax.Array, weight: jax.Array, rate: jax.Array | float
    ) -> jax.Array:
        options = self.losses
        if options.auxiliary == "ams":
            if out.ams_centers is None:
                raise ValueError(
                    "the AMS loss needs learned class centers: create_model(…, ams=True)"
                )
            per_example = mat_losses.ams(
                out.region_features,
                out.ams_centers,
                scale=options.ams_scale,
                margin=options.ams_margin,
            )
            return self._reduce(per_example, weight)
        intra = mat_losses.ril_intra(
            out.region_features,
            out.centers,
            labels,
            inner_margin=options.inner_margin,
            version=self.ril_version,
        )
        inter = mat_losses.ril_inter(
            out.centers,
            outer_margin=options.outer_margin,
            center_rate=rate,
            version=self.ril_version,
        )
        return self._reduce(intra, weight) + inter

    def _reduce(self, per_example: jax.Array, weight: jax.Array) -> jax.Array:
        if self.reduction == "sum":
            return jnp.sum(per_example * weight)
        return weighted_mean(per_example, weight)


def make_objective(
    model: MAT,
    steps: Steps,
    *,
    losses: LossOptions,
    agda: AGDAOptions,
    centers: CenterOptions,
    fine_map: FineMap,
) -> MATObjective:
    """The objective of a model by the sections of its config."""
    return MATObjective(
        losses=losses,
        agda=None if agda.mode == "none" else agda,
        # A function of the step inside the compiled step: its decay compiles nothing again.
        center_rate=optax.exponential_decay(
            centers.rate,
            transition_steps=steps(centers.decay_every),
            decay_rate=centers.decay_rate,
            staircase=True,
        ),
        ril_version=model.ril_version,
        move_twice=centers.move_twice,
        fine_map=fine_map if fine_map.weight else None,
    )


def derive(*, losses: LossOptions, fine_map: FineMap, **others: Any) -> Mapping[str, Any]:
    """Fields of the model that its losses ask for."""
    del others
    return {"ams": losses.auxiliary == "ams", **derive_fine_map(fine_map=fine_map)}


def check(model: MAT, *, losses: LossOptions, agda: AGDAOptions, **others: Any) -> None:
    """Refuses images that are too small for the network or its augmentation.

    One map with what the paper leaves out there (section 4.4.1) is warned of.

    Raises:
      ValueError: what is too small, for what.
    """
    del others
    if model.num_attentions == 1 and (losses.auxiliary != "none" or agda.mode != "none"):
        warnings.warn(
            "with one attention map the paper uses neither RIL nor AGDA: set "
            "config.losses.auxiliary and config.agda.mode to 'none' to do as it does",
            stacklevel=2,
        )
    size = model.image_size
    height, width = abstract_output(model).attention_maps.shape[1:3]
    if min(height, width) < 2:
        raise ValueError(
            f"image_size = {size} is too small: attention maps of {height}×{width} "
            f"cells at stage {model.attention_stage} cannot tell regions apart; take a larger image"
            " or an earlier attention_stage"
        )
    if agda.mode != "none" and int(size * agda.scale) <= agda.kernel_size // 2:
        raise ValueError(
            f"image_size = {size} is too small for AGDA: its small image, "
            f"{int(size * agda.scale)} pixels (config.agda.scale = {agda.scale}), must be larger "
            f"than half the blur's kernel, {agda.kernel_size // 2} (config.agda.kernel_size)"
        )
