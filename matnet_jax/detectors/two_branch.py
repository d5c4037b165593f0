"""Two Branch: colours and frequencies of aligned faces, a memory over them, and a ball of reals.

Masi, Killekar, Mascarenhas, Gurudatt and AbdAlmageed, "Two-branch recurrent network for isolating
deepfakes in videos", ECCV 2020. The authors published no code: a reconstruction. The loss's radii
are of public code of other fields that uses it.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from typing import Annotated, Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from matnet_jax.backbones.densenet import DenseBlock, DenseNet, Transition, make_densenet
from matnet_jax.detectors.base import Batch, Detector, Family, Forward, Metrics
from matnet_jax.detectors.fields import (
    COUNT,
    IMAGE_SIZE,
    IMAGENET_MEAN,
    IMAGENET_STD,
    NOT_NEGATIVE,
    PIXEL_MEAN,
    PIXEL_STD,
    POSITIVE,
    Derived,
    Range,
)
from matnet_jax.nn.batch_norm import BatchNorm, Norm
from matnet_jax.nn.filters import laplacian_of_gaussian
from matnet_jax.nn.initializers import Constant
from matnet_jax.nn.layers import Conv, Dense
from matnet_jax.nn.losses import correct, cross_entropy, weighted_mean
from matnet_jax.nn.norms import l2_norm
from matnet_jax.nn.recurrent import BidirectionalLSTM
from matnet_jax.nn.separable import filter_mirrored

_SIGMAS = Range(lambda v: len(v) >= 1 and min(v) > 0, "one or more numbers above 0")


def log_responses(x: jax.Array, sigmas: tuple[float, ...]) -> jax.Array:
    """Laplacians of Gaussians of each channel, borders mirrored: [B, H, W, C] -> [B, H, W, C·S]."""
    banks = [filter_mirrored(x, laplacian_of_gaussian(sigma)) for sigma in sigmas]
    return jnp.concatenate(banks, axis=-1)


class LoGBottleneck(nn.Module):
    """Half the channels, seen at several scales, and as many again: [B, H, W, C] -> the same.

    Attributes:
      sigmas: of the Gaussians, in places of the map.
      norm: fields of the batch norm.
    """

    sigmas: tuple[float, ...]
    norm: Norm = Norm()

    @nn.compact
    def __call__(self, x: jax.Array, train: bool, weight: jax.Array | None = None) -> jax.Array:
        """See the class."""
        features, dtype = x.shape[-1], self.norm.dtype
        narrow = Conv(max(features // 2, 1), 1, dtype=dtype, name="reduce_conv")(x)
        y = Conv(features, 1, dtype=dtype, name="join_conv")(log_responses(narrow, self.sigmas))
        return nn.relu(BatchNorm(*self.norm, name="bn")(y, train=train, weight=weight))


class TwoBranch(Detector):
    """DenseNet-121 whose first block is there twice, and a memory in both directions.

    A real clip's feature is to lie near 0, a fake one's far from it. The last layer's bias is minus
    the paper's centre.

    Attributes:
      clip_length: frames of a face that it is given at once; 1: single images.
      image_size: side in pixels.
      mean: of pixels in [0, 1], a channel each; ImageNet's.
      std: of pixels in [0, 1], a channel each.
      sigmas: of the frequencies' Gaussians, in places of the map they are taken of.
      memory: units of each direction's.
      feature: numbers that a clip becomes.
      inner_radius: that reals are to lie within.
      outer_radius: that fakes are to lie beyond.
      width_coefficient: of DenseNet's channels.
      depth_coefficient: of DenseNet's layers.
      remat: blocks are computed again in the backward pass, instead of kept.
    """

    clip_length: Annotated[int, COUNT] = 1
    image_size: Annotated[int, IMAGE_SIZE] = 224
    mean: Annotated[tuple[float, float, float], PIXEL_MEAN] = IMAGENET_MEAN
    std: Annotated[tuple[float, float, float], PIXEL_STD] = IMAGENET_STD
    sigmas: Annotated[tuple[float, ...], _SIGMAS] = (0.8, 1.2, 1.6, 2.4)
    memory: Annotated[int, COUNT] = 256
    feature: Annotated[int, COUNT] = 128
    inner_radius: Annotated[float, NOT_NEGATIVE] = 0.042
    outer_radius: Annotated[float, POSITIVE] = 1.638
    width_coefficient: Annotated[float, POSITIVE] = 1.0
    depth_coefficient: Annotated[float, POSITIVE] = 1.0
    remat: Annotated[bool, Derived("config.train.remat")] = False

    @property
    def description(self) -> str:
        """What it is, in a few words, for messages."""
        return "Two Branch on DenseNet-121"

    def make_trunk(self) -> DenseNet:
        """The DenseNet, whose first block is the colours'."""
        return make_densenet(
            width_coefficient=self.width_coefficient,
            depth_coefficient=self.depth_coefficient,
            dtype=self.dtype,
            remat=self.remat,
        )

    def setup(self) -> None:
        """Makes the submodules."""
        self.features = trunk = self.make_trunk()
        block = nn.remat(DenseBlock, static_argnums=(2,)) if self.remat else DenseBlock
        self.frequencies = LoGBottleneck(self.sigmas, trunk.norm)
        self.frequency_block = block(trunk.depths[0], trunk.growth, trunk.norm)
        self.frequency_transition = Transition(trunk.norm)
        self.join_conv = Conv(trunk.endpoint_channels["L1"], 1, dtype=self.dtype)
        self.join_bn = BatchNorm(*trunk.norm)
        self.recurrent = BidirectionalLSTM(self.memory, self.dtype)
        self.project = Dense(self.feature)
        self.slope = self.param("slope", Constant(4.0), ())

    def __call__(
        self, images: jax.Array, *, train: bool = False, weight: jax.Array | None = None
    ) -> dict[str, jax.Array]:
        """Images [B, H, W, 3] or clips [B, T, H, W, 3] -> logits [B, 2] and distance [B], float32.

        The logits' difference is a·(distance − half the radii's sum), with a that the cross
        entropy fits.
        """
        frames = images.reshape(-1, *images.shape[2:]) if images.ndim == 5 else images
        self.check_images(frames)
        count = images.shape[1] if images.ndim == 5 else 1
        of_frames = None if weight is None else jnp.repeat(weight, count)
        seen = self.frame_features(frames, train, of_frames)
        sequence = seen.reshape(images.shape[0], count, -1)
        f = self.project(jnp.mean(self.recurrent(sequence), axis=1)).astype(jnp.float32)
        distance = l2_norm(f)
        z = self.slope * (distance - (self.inner_radius + self.outer_radius) / 2)
        return {"logits": jnp.stack([jnp.zeros_like(z), z], axis=-1), "distance": distance}

    def frame_features(
        self, frames: jax.Array, train: bool = False, weight: jax.Array | None = None
    ) -> jax.Array:
        """What each frame is before the memory: [N, H, W, 3] -> float32 [N, C]."""
        trunk = self.features
        x = trunk.stem(frames, train, weight)
        colours = trunk.stage(1, x, train, weight)
        y = self.frequency_block(self.frequencies(x, train, weight), train, weight)
        both = jnp.concatenate([colours, self.frequency_transition(y, train, weight)], axis=-1)
        x = nn.relu(self.join_bn(self.join_conv(both), train=train, weight=weight))
        for stage in range(2, len(trunk.depths) + 1):
            x = trunk.stage(stage, x, train, weight)
        return jnp.mean(x.astype(jnp.float32), axis=(1, 2))

    @property
    def trunks(self) -> tuple[str, ...]:
        """See `Detector.trunks`."""
        return ("features", "frequency_block", "frequency_transition")

    def adopt(self, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """See `Detector.adopt`: the frequencies' block starts as the colours' does."""
        adopted = dict(arrays)
        for path, array in arrays.items():
            for part in ("block", "transition"):
                if f"/features/{part}_1/" in path:
                    adopted[path.replace(f"features/{part}_1", f"frequency_{part}")] = array
        return adopted


def isolate(
    distance: jax.Array, labels: jax.Array, inner_radius: float, outer_radius: float
) -> jax.Array:
    """max(0, d − r_in) of a real example, max(0, r_out − d) of a fake one: [B], [B] -> [B]."""
    inside = jnp.maximum(0.0, distance - inner_radius)
    outside = jnp.maximum(0.0, outer_radius - distance)
    return jnp.where(labels == 1, outside, inside)


@dataclasses.dataclass(frozen=True)
class Losses:
    """Of the distance, each class by its own mean; and the cross entropy.

    Attributes:
      isolate: weight of the distances' part.
      cross_entropy: weight of the verdict's; without it nothing fits the slope of the score.
    """

    isolate: Annotated[float, NOT_NEGATIVE] = 1.0
    cross_entropy: Annotated[float, NOT_NEGATIVE] = 0.1


@dataclasses.dataclass(frozen=True)
class Isolation:
    """The objective.

    Attributes:
      losses: weights of its parts.
      inner_radius: that reals are to lie within.
      outer_radius: that fakes are to lie beyond.
    """

    losses: Losses
    inner_radius: float
    outer_radius: float

    def __call__(
        self, forward: Forward, batch: Batch, key: jax.Array, step: jax.Array
    ) -> tuple[jax.Array, Metrics]:
        """See `Objective`."""
        del step
        labels, weight = batch["label"], batch["weight"]
        out = forward(batch["image"], key=key)
        of_examples = isolate(out["distance"], labels, self.inner_radius, self.outer_radius)
        mean = functools.partial(weighted_mean, of_examples)
        apart = mean(weight * (labels == 0)) + mean(weight * (labels == 1))
        entropy = weighted_mean(cross_entropy(out["logits"], labels), weight)
        accuracy = weighted_mean(correct(out["logits"], labels), weight)
        metrics = {"isolate": apart, "cross_entropy": entropy, "accuracy": accuracy}
        return self.losses.isolate * apart + self.losses.cross_entropy * entropy, metrics


def make_objective(model: TwoBranch, steps: Any, *, losses: Losses) -> Isolation:
    """See `Family.make_objective`."""
    del steps
    return Isolation(losses, model.inner_radius, model.outer_radius)


def check(model: TwoBranch, **sections: Any) -> None:
    """Raises ValueError where reals may lie beyond fakes."""
    del sections
    if model.inner_radius >= model.outer_radius:
        raise ValueError(
            f"config.model.inner_radius {model.inner_radius} has to be below "
            f"config.model.outer_radius {model.outer_radius}"
        )


FAMILY = Family(
    title="Two Branch",
    model=TwoBranch,
    sections={"losses": Losses},
    objective=make_objective,
    check=check,
    recipes={
        "paper": {
            "train": {"batch_size": 16},
            "data": {"balance": "batch"},
            "optimizer": {"learning_rate": 1e-4, "weight_decay": 1e-5, "schedule": "cosine"},
        }
    },
    provenance="reconstruction",
)
