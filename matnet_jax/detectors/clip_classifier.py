"""Classifiers of clips: the 3-D networks of two winners of the Deepfake Detection Challenge.

Eighteen Years Old, fourth, has SlowFast-50; The Medics, fifth, have I3D, ResNet3D-34, MC3-18 and
R(2+1)D-18. After their code (both MIT); their networks of single images are plain classifiers.
"""

from __future__ import annotations

import dataclasses
from typing import Annotated, Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from matnet_jax.backbones.clips import CLIP_BACKBONES
from matnet_jax.detectors.base import Batch, Detector, Family, Forward, Metrics
from matnet_jax.detectors.classifier import CrossEntropy
from matnet_jax.detectors.fields import (
    COUNT,
    IMAGE_SIZE,
    IMAGENET_MEAN,
    IMAGENET_STD,
    PIXEL_MEAN,
    PIXEL_STD,
    POSITIVE,
    RATE,
    Derived,
)
from matnet_jax.nn.layers import Dense
from matnet_jax.nn.losses import correct, cross_entropy, weighted_mean

KINETICS: dict[str, Any] = {
    "mean": (110.63666788 / 255, 103.16065604 / 255, 96.29023126 / 255),
    "std": (38.7568578 / 255, 37.88248729 / 255, 40.02898126 / 255),
}
IMAGENET: dict[str, Any] = {"mean": IMAGENET_MEAN, "std": IMAGENET_STD}
CENTERED: dict[str, Any] = {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}
AS_THEY_ARE: dict[str, Any] = {"mean": (0.0, 0.0, 0.0), "std": (1 / 255,) * 3}
"""Pixels from 0 to 255."""


class ClipClassifier(Detector):
    """A backbone of clips, dropout, and a dense layer, averaged over time.

    Attributes:
      backbone: a name of `matnet_jax.backbones.clips.CLIP_BACKBONES`.
      clip_length: frames of a face that it is given at once; 1: single images.
      image_size: side in pixels.
      mean: of pixels in [0, 1], a channel each.
      std: of pixels in [0, 1], a channel each.
      dropout_rate: before the dense layer.
      width_coefficient: of the backbone's channels.
      depth_coefficient: of the backbone's blocks.
      remat: blocks are computed again in the backward pass, instead of kept.
    """

    backbone: str = "slowfast-50"
    clip_length: Annotated[int, COUNT] = 1
    image_size: Annotated[int, IMAGE_SIZE] = 224
    mean: Annotated[tuple[float, float, float], PIXEL_MEAN] = KINETICS["mean"]
    std: Annotated[tuple[float, float, float], PIXEL_STD] = KINETICS["std"]
    dropout_rate: Annotated[float, RATE] = 0.5
    width_coefficient: Annotated[float, POSITIVE] = 1.0
    depth_coefficient: Annotated[float, POSITIVE] = 1.0
    remat: Annotated[bool, Derived("config.train.remat")] = False

    @property
    def description(self) -> str:
        """What it is, in a few words, for messages."""
        return f"a classifier of clips on {self.backbone}"

    def make_backbone(self) -> nn.Module:
        """The network of clips.

        Raises:
          ValueError: there is none of this name; the message lists those there are.
        """
        if self.backbone not in CLIP_BACKBONES:
            raise ValueError(
                f"unknown backbone of clips '{self.backbone}'; available: "
                f"{', '.join(CLIP_BACKBONES)}"
            )
        scales = self.width_coefficient, self.depth_coefficient
        return CLIP_BACKBONES[self.backbone](*scales, self.dtype, self.remat)

    def setup(self) -> None:
        """Makes the submodules."""
        self.features = self.make_backbone()
        self.dropout = nn.Dropout(self.dropout_rate)
        self.head = Dense(2)

    def __call__(
        self, images: jax.Array, *, train: bool = False, weight: jax.Array | None = None
    ) -> dict[str, jax.Array]:
        """Images [B, H, W, 3] or clips [B, T, H, W, 3] -> logits [B, 2] float32."""
        self.check_images(images[:, 0] if images.ndim == 5 else images)
        clips = images if images.ndim == 5 else images[:, None]
        features = self.features(clips, train, weight)
        logits = self.head(self.dropout(features, deterministic=not train))
        return {"logits": jnp.mean(logits.astype(jnp.float32), axis=1)}


def check(model: ClipClassifier, **sections: Any) -> None:
    """Raises ValueError where there is no such backbone; a `Family.check`."""
    del sections
    model.make_backbone()


@dataclasses.dataclass(frozen=True)
class Cutmix:
    """The cross entropy, of clips of which a box may be another's (Yun et al., 2019, in 3-D).

    Attributes:
      cutmix: of both parameters of the beta distribution that the share which stays is drawn from,
        once a batch; the larger of it and of the rest stays. None: nothing is mixed.
    """

    cutmix: Annotated[float | None, POSITIVE] = None

    def __call__(
        self, forward: Forward, batch: Batch, key: jax.Array, step: jax.Array
    ) -> tuple[jax.Array, Metrics]:
        """See `Objective`."""
        del step
        images, labels, weight = batch["image"], batch["label"], batch["weight"]
        key, share_key, box_key, order_key = jax.random.split(key, 4)
        others, share = jnp.arange(len(labels)), jnp.ones(())
        if self.cutmix is not None:
            drawn = jax.random.beta(share_key, self.cutmix, self.cutmix)
            inside = box(box_key, images.shape[1:-1], jnp.minimum(drawn, 1 - drawn))
            others = shuffled(order_key, weight)
            images = jnp.where(inside[..., None], images[others], images)
            share = 1 - jnp.mean(inside.astype(jnp.float32))
        logits = forward(images, key=key)["logits"]
        entropy = share * cross_entropy(logits, labels)
        entropy += (1 - share) * cross_entropy(logits, labels[others])
        loss = weighted_mean(entropy, weight)
        accuracy = weighted_mean(correct(logits, labels), weight)
        return loss, {"cross_entropy": loss, "accuracy": accuracy}


def box(key: jax.Array, size: tuple[int, ...], volume: jax.Array) -> jax.Array:
    """A box of about `volume` of the whole, cut off at its borders: bool of shape `size`.

    Its centre is anywhere; of n axes each side is volume^(1/n) of the whole's.
    """
    inside = jnp.ones((), bool)
    centers = jax.random.uniform(key, (len(size),))
    for axis, n in enumerate(size):
        half = jnp.floor(n * volume ** (1 / len(size))) / 2
        middle = jnp.floor(centers[axis] * n)
        places = jnp.arange(n)
        along = (places >= jnp.floor(middle - half)) & (places < jnp.floor(middle + half))
        inside = inside & along.reshape([-1 if i == axis else 1 for i in range(len(size))])
    return inside


def shuffled(key: jax.Array, weight: jax.Array) -> jax.Array:
    """A permutation of the examples that count; the others stay where they are: [B] -> [B]."""
    drawn = jax.random.uniform(key, weight.shape)
    is_out = weight == 0
    # Places of the examples that count, in order, take the same places in another order.
    places = jnp.argsort(is_out, stable=True)
    order = jnp.argsort(jnp.where(is_out, 2.0, drawn), stable=True)
    found = jnp.zeros_like(places).at[places].set(order)
    return jnp.where(is_out, jnp.arange(len(weight)), found)


EIGHTEEN_YEARS_OLD = Family(
    title="Eighteen Years Old: SlowFast",
    model=ClipClassifier,
    sections={"losses": CrossEntropy},
    check=check,
    recipes={
        "paper": {
            "model": {"image_size": 256},
            "losses": {"class_weights": (1.8, 0.2)},
            "data": {"real_repeat": 1},
            "train": {"batch_size": 32, "duration": "55000 steps"},
            "optimizer": {
                "name": "sgd",
                "learning_rate": 0.05,
                "nesterov": True,
                "weight_decay": 1e-4,
                "warmup": "1000 steps",
                "schedule": "step",
                "decay_at": ("15000 steps", "25000 steps", "35000 steps", "45000 steps"),
                "decay_rate": 0.5,
            },
            "eval": {"aggregation": "face_extremes"},
        }
    },
    provenance="port",
)


def _medics(
    backbone: str, size: int, batch: int, rate: float, optimizer: str, **model: Any
) -> dict[str, dict[str, Any]]:
    return {
        "model": {"backbone": backbone, "image_size": size, "dropout_rate": 0.0} | model,
        "data": {"balance": "rarer", "real_repeat": 1},
        "train": {"batch_size": batch, "duration": "10 epochs"},
        "optimizer": {
            "name": optimizer,
            "learning_rate": rate,
            "weight_decay": 0.0 if optimizer == "adam" else 1e-2,
            "schedule": "cosine",
            "warmup": "3 epochs",
        },
        "eval": {"aggregation": "clipped_face_mean"},
    }


_I3D = CENTERED | {"dropout_rate": 0.5}
MEDICS = Family(
    title="The Medics: 3-D networks",
    model=ClipClassifier,
    sections={"losses": Cutmix},
    check=check,
    recipes={
        "paper": _medics("i3d", 224, 12, 1e-4, "adam", **_I3D),
        "resnet3d": _medics("resnet3d-34", 224, 32, 1e-4, "adam", **AS_THEY_ARE),
        "mc3_112": _medics("mc3-18", 112, 32, 1e-4, "adam", **IMAGENET),
        "mc3_224": _medics("mc3-18", 224, 10, 5e-6, "adam", **IMAGENET),
        "r2plus1d": _medics("r2plus1d-18", 112, 16, 1e-4, "adamw", **IMAGENET),
        "i3d_cutmix": _medics("i3d", 224, 26, 1e-3, "adamw", **_I3D) | {"losses": {"cutmix": 1.0}},
        "r2plus1d_cutmix": _medics("r2plus1d-18", 112, 36, 1e-3, "adamw", **IMAGENET)
        | {"losses": {"cutmix": 1.0}},
    },
    provenance="port",
)
