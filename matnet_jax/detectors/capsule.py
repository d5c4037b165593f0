"""Capsule-Forensics, both versions: a capsule head on VGG-19's first layers, which do not train.

Nguyen, Yamagishi and Echizen: "Capsule-Forensics: using capsule networks to detect forged images
and videos", ICASSP 2019 (version 1), and "Use of a capsule network to detect fake images and
videos", 2019 (version 2). Written anew after the authors' PyTorch code.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Annotated, Any

import jax
import jax.numpy as jnp
from jax import lax

from matnet_jax.backbones.vgg import VGG19Trunk
from matnet_jax.detectors.base import Batch, Detector, Family, Forward, Metrics
from matnet_jax.detectors.fields import (
    COUNT,
    IMAGE_SIZE,
    IMAGENET_MEAN,
    IMAGENET_STD,
    NOT_NEGATIVE,
    PIXEL_MEAN,
    PIXEL_STD,
    RATE,
)
from matnet_jax.nn.capsules import CapsuleHead
from matnet_jax.nn.losses import correct, cross_entropy, weighted_mean


class CapsuleV1(Detector):
    """Three primary capsules on 128-pixel images.

    Attributes:
      image_size: side in pixels that images are prepared at.
      mean: of pixels in [0, 1], a channel each; ImageNet's.
      std: of pixels in [0, 1], a channel each; ImageNet's.
      num_capsules: primary ones.
      noise: standard deviation of what is added to the routing weights in training.
      dropout_rate: of the primary capsules' votes in training.
    """

    image_size: Annotated[int, IMAGE_SIZE] = 128
    mean: Annotated[tuple[float, float, float], PIXEL_MEAN] = IMAGENET_MEAN
    std: Annotated[tuple[float, float, float], PIXEL_STD] = IMAGENET_STD
    num_capsules: Annotated[int, COUNT] = 3
    noise: Annotated[float, NOT_NEGATIVE] = 0.01
    dropout_rate: Annotated[float, RATE] = 0.0

    @property
    def description(self) -> str:
        """What it is, in a few words, for messages."""
        return f"Capsule-Forensics with {self.num_capsules} primary capsules"

    def setup(self) -> None:
        """Makes the submodules."""
        self.features = VGG19Trunk(self.dtype)
        self.head = CapsuleHead(
            self.num_capsules,
            noise=self.noise,
            dropout_rate=self.dropout_rate,
            dtype=self.dtype,
        )

    def __call__(
        self, images: jax.Array, *, train: bool = False, weight: jax.Array | None = None
    ) -> dict[str, jax.Array]:
        """Images [B, H, W, 3], normalised -> logits and class capsules, float32.

        Returns:
          logits [B, 2]: logarithms of the mean over dimensions of the capsules' softmax, so that
          their softmax is the authors' score. capsules [B, D, 2].
        """
        self.check_images(images)
        features = lax.stop_gradient(self.features(images))
        capsules = self.head(features, train=train, weight=weight)
        probabilities = jnp.mean(jax.nn.softmax(capsules, axis=-1), axis=1)
        return {"logits": jnp.log(probabilities), "capsules": capsules}


class CapsuleV2(CapsuleV1):
    """Ten primary capsules on 300-pixel images, whose votes drop out."""

    image_size: Annotated[int, IMAGE_SIZE] = 300
    num_capsules: Annotated[int, COUNT] = 10
    dropout_rate: Annotated[float, RATE] = 0.05


@dataclasses.dataclass(frozen=True)
class Losses:
    """The cross entropy of the classes, summed over the dimensions of the class capsules.

    Attributes:
      capsules: its weight.
      double_softmax: the cross entropy takes probabilities for logits, as version 1's does.
    """

    capsules: Annotated[float, NOT_NEGATIVE] = 1.0
    double_softmax: bool = False

    def __call__(
        self, forward: Forward, batch: Batch, key: jax.Array, step: jax.Array
    ) -> tuple[jax.Array, Metrics]:
        """See `Objective`."""
        del step
        labels, weight = batch["label"], batch["weight"]
        out = forward(batch["image"], key=key)
        capsules = out["capsules"]
        logits = jax.nn.softmax(capsules, axis=-1) if self.double_softmax else capsules
        entropy = jnp.sum(cross_entropy(logits, labels[:, None]), axis=1)
        loss = weighted_mean(entropy, weight)
        accuracy = weighted_mean(correct(out["logits"], labels), weight)
        return self.capsules * loss, {"capsules": loss, "accuracy": accuracy}


def _recipe(batch_size: int, epochs: int, **losses: Any) -> Mapping[str, Mapping[str, Any]]:
    return {
        "train": {"batch_size": batch_size, "duration": f"{epochs} epochs"},
        "optimizer": {"learning_rate": 5e-4, "weight_decay": 0.0, "freeze": ("features",)},
        "data": {"ops": "none"},
        "losses": losses,
    }


V1 = Family(
    title="Capsule-Forensics",
    model=CapsuleV1,
    sections={"losses": Losses},
    recipes={"paper": _recipe(100, 100, double_softmax=True)},
    provenance="port",
)
V2 = Family(
    title="Capsule-Forensics v2",
    model=CapsuleV2,
    sections={"losses": Losses},
    recipes={"paper": _recipe(32, 25)},
    provenance="port",
)
