"""Steg.Features: co-occurrences of an image's residuals, and a line through them.

After Fridrich and Kodovský, "Rich models for steganalysis of digital images", TIFS 2012, in the
form of FaceForensics++'s benchmark (Rössler et al., ICCV 2019), which published no code of it: a
reconstruction. ``matnet probe --classifier=svm --save=WORKDIR`` fits the line at once; training
minimises the hinge loss of such a machine step by step.
"""

from __future__ import annotations

import dataclasses
from typing import Annotated, Any

import jax
import jax.numpy as jnp
from jax import lax

from matnet_jax.detectors.base import Batch, Detector, Family, Forward, Metrics
from matnet_jax.detectors.fields import COUNT, IMAGE_SIZE, NOT_NEGATIVE, POSITIVE
from matnet_jax.nn.cooccurrence import luma_thousandths, third_order_features
from matnet_jax.nn.layers import Dense
from matnet_jax.nn.losses import correct, hinge, weighted_mean


class Residuals(Detector):
    """What detectors on the residuals of an image's middle share.

    Attributes:
      image_size: side in pixels.
      region: pixels a side of the middle that is looked at; a smaller image is, as a whole.
      quantum: pixel values of 255 that one step of the residuals is.
    """

    image_size: Annotated[int, IMAGE_SIZE] = 256
    region: Annotated[int, COUNT] = 128
    quantum: Annotated[float, POSITIVE] = 1.0

    @property
    def step(self) -> float:
        """Of the quantiser, in thousandths of a pixel value."""
        return 1000.0 * self.quantum

    def brightness(self, images: jax.Array) -> jax.Array:
        """The middle's brightness in thousandths of a pixel value: [B, H, W, 3] -> [B, h, w].

        Normalised images are whole pixels again first, so that it is exact.
        """
        self.check_images(images)
        top, left = (max(size - self.region, 0) // 2 for size in images.shape[1:3])
        middle = images[:, top : top + self.region, left : left + self.region]
        pixels = middle.astype(jnp.float32) * jnp.asarray(self.std) + jnp.asarray(self.mean)
        return lax.stop_gradient(luma_thousandths(jnp.clip(jnp.round(pixels * 255), 0, 255)))


class StegFeatures(Residuals):
    """162 shares of co-occurring residuals and one dense layer."""

    @property
    def description(self) -> str:
        """What it is, in a few words, for messages."""
        return "a line through 162 co-occurrences of residuals"

    def setup(self) -> None:
        """Makes the submodules."""
        self.head = Dense(2, self.dtype)

    def __call__(
        self, images: jax.Array, *, train: bool = False, weight: jax.Array | None = None
    ) -> dict[str, jax.Array]:
        """Images [B, H, W, 3], normalised -> logits [B, 2] float32."""
        del train, weight
        features = third_order_features(self.brightness(images), self.step)
        return {"logits": self.head(features).astype(jnp.float32)}


@dataclasses.dataclass(frozen=True)
class Hinge:
    """A linear support vector machine's, of the difference of the logits.

    Attributes:
      hinge: its weight.
    """

    hinge: Annotated[float, NOT_NEGATIVE] = 1.0

    def __call__(
        self, forward: Forward, batch: Batch, key: jax.Array, step: jax.Array
    ) -> tuple[jax.Array, Metrics]:
        """See `Objective`."""
        del step
        labels, weight = batch["label"], batch["weight"]
        logits = forward(batch["image"], key=key)["logits"]
        loss = weighted_mean(hinge(logits[:, 1] - logits[:, 0], labels), weight)
        accuracy = weighted_mean(correct(logits, labels), weight)
        return self.hinge * loss, {"hinge": loss, "accuracy": accuracy}


def check(model: Any, **sections: Any) -> None:
    """Raises ValueError where the middle holds no run of residuals."""
    del sections
    if model.region < 7:
        raise ValueError(f"config.model.region is {model.region}; 7 pixels hold the first run")


FAMILY = Family(
    title="Steg.Features",
    model=StegFeatures,
    sections={"losses": Hinge},
    check=check,
    recipes={
        "paper": {
            "train": {"batch_size": 64},
            "data": {"balance": "batch", "ops": "none"},
            "optimizer": {"learning_rate": 1e-2, "weight_decay": 1e-6},
        }
    },
    provenance="reconstruction",
)
