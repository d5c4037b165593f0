r"""WS-DAN as the team \WM/ has it, second in the Deepfake Detection Challenge.

Weakly supervised data augmentation (Hu, Qi, Huang and Lu, 2019, arXiv:1901.09891): attention maps
pool features, and training goes on with images that are cropped to one map and that lack another.
After the team's code (MIT).
"""

from __future__ import annotations

import dataclasses
from typing import Annotated, Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from jax import lax

from matnet_jax.detectors.backboned import BackboneDetector
from matnet_jax.detectors.base import Batch, Family, Forward, Metrics, Steps
from matnet_jax.detectors.classifier import check_backbone
from matnet_jax.detectors.durations import POSITIVE_DURATION
from matnet_jax.detectors.fields import (
    COUNT,
    FRACTION,
    IMAGE_SIZE,
    NOT_NEGATIVE,
    PIXEL_MEAN,
    PIXEL_STD,
    RATE,
    NumClasses,
    Range,
)
from matnet_jax.nn.batch_norm import BatchNorm
from matnet_jax.nn.initializers import ZEROS
from matnet_jax.nn.layers import Conv
from matnet_jax.nn.losses import correct, cross_entropy, weighted_mean
from matnet_jax.nn.norms import l2_normalize
from matnet_jax.nn.resize import Size, resize_bilinear

_EPSILON, _SCALE = 1e-12, 100.0
_SHARES = Range(lambda v: len(v) == 2 and 0 <= v[0] <= v[1] <= 1, "two of 0 to 1, rising")


def pooled_matrix(features: jax.Array, maps: jax.Array) -> jax.Array:
    """The mean over places of A_m·F_c: [B, h, w, C], [B, h, w, M] -> float32 [B, M, C]."""
    features, maps = features.astype(jnp.float32), maps.astype(jnp.float32)
    return jnp.einsum("bhwm,bhwc->bmc", maps, features) / (maps.shape[1] * maps.shape[2])


def direction(matrix: jax.Array) -> jax.Array:
    """The matrix map by map, its signed square root, of length 1: [B, M, C] -> [B, M·C]."""
    flat = matrix.reshape(*matrix.shape[:1], -1)  # of an export, the batch has no number
    return l2_normalize(jnp.sign(flat) * jnp.sqrt(jnp.abs(flat) + _EPSILON))


class WSDAN(BackboneDetector):
    r"""A backbone, attention maps on its last features, and a line through what these pool.

    Attributes:
      backbone: a name of `matnet_jax.backbones.BACKBONES`.
      image_size: side in pixels.
      mean: of pixels in [0, 1], a channel each; those of \WM/'s faces.
      std: of pixels in [0, 1], a channel each.
      num_classes: logits.
      num_attentions: M.
      map_dropout_rate: of whole maps in the first pass of a training step.
    """

    backbone: str = "xception"
    image_size: Annotated[int, IMAGE_SIZE] = 320
    mean: Annotated[tuple[float, float, float], PIXEL_MEAN] = (0.4479, 0.3744, 0.3473)
    std: Annotated[tuple[float, float, float], PIXEL_STD] = (0.2537, 0.2502, 0.2424)
    num_classes: NumClasses = 2
    num_attentions: Annotated[int, COUNT] = 8
    map_dropout_rate: Annotated[float, RATE] = 0.5

    @property
    def description(self) -> str:
        """What it is, in a few words, for messages."""
        return f"WS-DAN on {self.backbone} (M = {self.num_attentions})"

    def setup(self) -> None:
        """Makes the submodules."""
        self.features = self.make_backbone()
        self.attention_conv = Conv(self.num_attentions, kernel_size=1, dtype=self.dtype)
        self.attention_bn = BatchNorm(0.9, 1e-3, self.dtype, self.bn_group_size)
        self.head_conv = Conv(self.num_classes, kernel_size=1)  # a dense layer without a bias
        shape = self.num_classes, self.num_attentions * self.features.endpoint_channels["final"]
        self.centers = self.variable("feature_centers", "centers", ZEROS, None, shape)

    def __call__(
        self,
        images: jax.Array,
        *,
        labels: jax.Array | None = None,
        train: bool = False,
        center_rate: jax.Array | float = 0.05,
        weight: jax.Array | None = None,
    ) -> dict[str, jax.Array]:
        """Images [B, H, W, 3], normalised floats -> logits [B, 2] and maps [B, h, w, M].

        In training, with labels, whole maps drop out for the logits, and the result also has
        ``feature`` g, [B, M·C], without that, and ``center``, that of each example's class before
        it moves: of length 1, or 0 where it has not moved yet.
        """
        features = self.endpoints(images, train=train, weight=weight)["final"]
        maps = self.attention_bn(self.attention_conv(features), train=train, weight=weight)
        maps = nn.relu(maps)
        matrix = pooled_matrix(features, maps)
        out = {"attention_maps": maps}
        seen = matrix
        if train and labels is not None:
            feature = direction(matrix)
            out |= {"feature": feature, "center": l2_normalize(self.centers.value)[labels]}
            self._move_centers(feature - out["center"], labels, center_rate, weight)
            seen = self._drop_maps(matrix)
        logits = self.head_conv(_SCALE * direction(seen)[:, None, None])[:, 0, 0]
        return {"logits": logits.astype(jnp.float32)} | out

    def heatmaps(self, out: Any) -> dict[str, jax.Array]:
        """The attention maps."""
        return {"attention_maps": out["attention_maps"]}

    def _drop_maps(self, matrix: jax.Array) -> jax.Array:
        if not self.map_dropout_rate:
            return matrix
        kept = 1.0 - self.map_dropout_rate
        keep = jax.random.bernoulli(self.make_rng("dropout"), kept, (*matrix.shape[:2], 1))
        return jnp.where(keep, matrix / kept, 0.0)

    def _move_centers(
        self,
        apart: jax.Array,
        labels: jax.Array,
        rate: jax.Array | float,
        weight: jax.Array | None,
    ) -> None:
        """A class's centre goes by the mean of its examples' ways to them, times the rate."""
        if self.is_initializing() or not self.is_mutable_collection("feature_centers"):
            return
        weight = jnp.ones(len(labels), jnp.float32) if weight is None else weight
        own = jax.nn.one_hot(labels, self.num_classes) * weight[:, None]
        apart = jnp.where(weight[:, None] > 0, lax.stop_gradient(apart), 0.0)
        mean = own.T @ apart / jnp.maximum(own.sum(axis=0), 1.0)[:, None]
        self.centers.value = self.centers.value + rate * mean


def draw_maps(key: jax.Array, maps: jax.Array, count: int = 2) -> jax.Array:
    """Some of each image's maps, drawn again and again by √ΣA: [B, h, w, M] -> [B, h, w, count]."""
    weights = jnp.log(jnp.sqrt(jnp.sum(maps, axis=(1, 2)) + _EPSILON))
    drawn = jax.random.categorical(key, weights, shape=(count, len(maps))).T
    return jnp.take_along_axis(maps, drawn[:, None, None], axis=-1)


def looked_at(chosen: jax.Array, share: jax.Array, size: Size) -> jax.Array:
    """Where an enlarged map [B, h, w] is at least `share` [B] of its maximum: bool [B, *size]."""
    enlarged = resize_bilinear(chosen[..., None].astype(jnp.float32), size)[..., 0]
    return enlarged >= (share * chosen.max(axis=(1, 2)))[:, None, None]


def crop_to(images: jax.Array, mask: jax.Array, padding: float) -> jax.Array:
    """The box around a mask, made as large as the image: [B, H, W, C], [B, H, W] -> [B, H, W, C].

    It is `padding` of the image longer to each side, and bilinear with aligned corners. The whole
    image where the mask has nothing.
    """
    mask = mask | ~mask.any(axis=(1, 2), keepdims=True)
    rows = _stretch(mask.any(axis=2), padding)
    columns = _stretch(mask.any(axis=1), padding)
    return jnp.einsum("boh,bhwc,bpw->bopc", rows, images, columns, precision=lax.Precision.HIGHEST)


def _stretch(inside: jax.Array, padding: float) -> jax.Array:
    """Weights [B, n, n] that spread from the first to the last True of [B, n], padded."""
    n = inside.shape[1]
    first, last = jnp.argmax(inside, axis=1), n - 1 - jnp.argmax(inside[:, ::-1], axis=1)
    start = jnp.maximum(jnp.floor(first - padding * n), 0)
    stop = jnp.minimum(jnp.floor(last + padding * n), n)
    # As in the original, the box ends before `stop`; but one of nothing is a pixel.
    length = jnp.maximum(stop - start - 1, 0)
    places = start[:, None] + length[:, None] * jnp.linspace(0, 1, n)
    return jnp.maximum(1 - jnp.abs(places[..., None] - jnp.arange(n)), 0)


@dataclasses.dataclass(frozen=True)
class Losses:
    """Weights of the parts, and how images are changed.

    Attributes:
      crop: of the cross entropy of images that are cropped to a map.
      drop: of that of images that lack what a map looks at.
      center: of the squared distance to the class's centre.
      center_rate: of the centres' way, halved after every `center_halving`.
      center_halving: duration; the team doubles centres after every epoch, of which the direction
        alone counts.
      crop_share: range of the map's maximum from which on it is cropped to.
      drop_share: range of that from which on it is dropped.
      padding: of a crop to each side, of the image.
    """

    crop: Annotated[float, NOT_NEGATIVE] = 1 / 3
    drop: Annotated[float, NOT_NEGATIVE] = 1 / 2
    center: Annotated[float, NOT_NEGATIVE] = 1.0
    center_rate: Annotated[float, FRACTION] = 0.05
    center_halving: Annotated[str, POSITIVE_DURATION] = "1 epoch"
    crop_share: Annotated[tuple[float, float], _SHARES] = (0.4, 0.6)
    drop_share: Annotated[tuple[float, float], _SHARES] = (0.4, 0.7)
    padding: Annotated[float, FRACTION] = 0.1


@dataclasses.dataclass(frozen=True)
class Augmented:
    """Three passes: an image, its crop, and what is left without another map.

    Attributes:
      losses: see `Losses`.
      center_rate: step -> the centres' rate.
    """

    losses: Losses
    center_rate: optax.Schedule

    def __call__(
        self, forward: Forward, batch: Batch, key: jax.Array, step: jax.Array
    ) -> tuple[jax.Array, Metrics]:
        """See `Objective`."""
        options, images, labels = self.losses, batch["image"], batch["label"]
        weight, size, count = batch["weight"], batch["image"].shape[1:3], len(batch["label"])
        first, second, third, map_key, crop_key, drop_key = jax.random.split(key, 6)
        out = forward(images, key=first, labels=labels, center_rate=self.center_rate(step))
        metrics = {
            "cross_entropy": self._entropy(out, batch),
            "accuracy": weighted_mean(correct(out["logits"], labels), weight),
            "center": weighted_mean(
                jnp.sum(jnp.square(out["feature"] - out["center"]), axis=-1), weight
            ),
        }
        chosen = draw_maps(map_key, lax.stop_gradient(out["attention_maps"]))
        low, high = options.crop_share
        share = jax.random.uniform(crop_key, (count,), minval=low, maxval=high)
        cropped = crop_to(images, looked_at(chosen[..., 0], share, size), options.padding)
        low, high = options.drop_share
        share = jax.random.uniform(drop_key, (count,), minval=low, maxval=high)
        hidden = looked_at(chosen[..., 1], share, size)[..., None]
        for name, changed, own in (
            ("crop", cropped, second),
            ("drop", jnp.where(hidden, 0.0, images), third),
        ):
            seen = forward(changed, key=own, keep=("feature_centers",))
            metrics[f"{name}_cross_entropy"] = self._entropy(seen, batch)
        total = (
            metrics["cross_entropy"]
            + options.crop * metrics["crop_cross_entropy"]
            + options.drop * metrics["drop_cross_entropy"]
            + options.center * metrics["center"]
        )
        return total, metrics

    def _entropy(self, out: Any, batch: Batch) -> jax.Array:
        return weighted_mean(cross_entropy(out["logits"], batch["label"]), batch["weight"])


def make_objective(model: WSDAN, steps: Steps, *, losses: Losses) -> Augmented:
    """See `Family.make_objective`."""
    del model
    halving = steps(losses.center_halving)
    return Augmented(
        losses, optax.exponential_decay(losses.center_rate, halving, 0.5, staircase=True)
    )


FAMILY = Family(
    title="WS-DAN",
    model=WSDAN,
    sections={"losses": Losses},
    objective=make_objective,
    check=check_backbone,
    recipes={
        "paper": {
            "data": {"balance": "rarer", "real_repeat": 1},
            "train": {"batch_size": 40, "duration": "60 epochs"},
            "optimizer": {
                "name": "sgd",
                "learning_rate": 1e-3,
                "weight_decay": 1e-5,
                "schedule": "step",
                "decay_every": "1 epoch",
                "decay_rate": 0.95,
            },
        }
    },
    provenance="port",
)
