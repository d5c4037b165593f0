"""NTechLab's networks, third in the Deepfake Detection Challenge: EfficientNet-B7 and mixed faces.

After their code (Apache-2.0): windows that are higher than wide, of single faces or, for the third
network, of clips whose frames see their neighbours; trained on mixtures of a real and a fake face.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from matnet_jax.detectors.base import Batch, Family, Forward, Metrics
from matnet_jax.detectors.classifier import PlainClassifier, check_backbone
from matnet_jax.detectors.fields import (
    COUNT,
    IMAGE_SIZE,
    IMAGENET_MEAN,
    IMAGENET_STD,
    PIXEL_MEAN,
    PIXEL_STD,
    POSITIVE,
    Range,
)
from matnet_jax.detectors.output import MATOutput
from matnet_jax.nn.losses import correct, weighted_mean

_WINDOW = Range(lambda v: len(v) == 2 and min(v) >= 32, "two numbers of at least 32 pixels")


class NTechLab(PlainClassifier):
    """A plain classifier of a window in the middle of the image.

    Attributes:
      backbone: an EfficientNet, where `temporal`.
      image_size: side in pixels of the square images that it takes.
      mean: of pixels in [0, 1], a channel each; ImageNet's.
      std: of pixels in [0, 1], a channel each.
      window: rows and columns of what the backbone sees: the image's middle, mirrored at the
        borders that it reaches beyond.
      temporal: frames of a clip see their neighbours.
      clip_length: frames of a face that it is given at once, where `temporal`; 1: single images.
    """

    backbone: str = "efficientnet-b7"
    image_size: Annotated[int, IMAGE_SIZE] = 192
    mean: Annotated[tuple[float, float, float], PIXEL_MEAN] = IMAGENET_MEAN
    std: Annotated[tuple[float, float, float], PIXEL_STD] = IMAGENET_STD
    window: Annotated[tuple[int, int], _WINDOW] = (224, 192)
    temporal: bool = False
    clip_length: Annotated[int, COUNT] = 1

    @property
    def description(self) -> str:
        """What it is, in a few words, for messages."""
        return f"NTechLab's {'sequences' if self.temporal else 'faces'} on {self.backbone}"

    def make_backbone(self) -> Any:
        """See `BackboneDetector.make_backbone`."""
        backbone = super().make_backbone()
        if not self.temporal:
            return backbone
        if not hasattr(backbone, "temporal"):
            raise ValueError(f"temporal needs an EfficientNet, not {self.backbone}")
        return backbone.clone(parent=None, temporal=True)

    def __call__(self, images: jax.Array, **arguments: Any) -> MATOutput:
        """Images [B, H, W, 3], or clips [B, T, H, W, 3] -> all outputs of B images, or [B, T]."""
        of_clips = self.temporal and images.ndim == 5
        self.check_images(images[:, 0] if of_clips else images)
        out = super().__call__(images, **arguments)
        if not of_clips:
            return out
        return jax.tree.map(lambda x: x.reshape(*images.shape[:2], *x.shape[1:]), out)

    def endpoints(
        self, images: jax.Array, *, train: bool = False, weight: jax.Array | None = None
    ) -> dict[str, jax.Array]:
        """Every stage of the backbone by name, of the window."""
        return self.features(middle(images, self.window), train, weight)

    def adopt(self, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """See `Detector.adopt`: a kernel of one frame is a third of it for each of three."""
        if not self.temporal:
            return dict(arrays)
        return {
            path: np.repeat(array, 3, axis=0) / 3
            if path.endswith("/expand_conv/kernel") and array.shape[0] == 1
            else array
            for path, array in arrays.items()
        }


def middle(images: jax.Array, window: tuple[int, int]) -> jax.Array:
    """The middle of images [..., H, W, C], mirrored at borders: [..., rows, columns, C]."""
    for axis, wanted in zip((-3, -2), window, strict=True):
        axis += images.ndim
        missing = wanted - images.shape[axis]
        if missing > 0:
            pads = [(0, 0)] * images.ndim
            pads[axis] = (missing // 2, missing - missing // 2)
            images = jnp.pad(images, pads, mode="reflect")
        elif missing < 0:
            start = -missing // 2
            images = jax.lax.slice_in_dim(images, start, start + wanted, axis=axis)
    return images


def partners(labels: jax.Array, weight: jax.Array) -> jax.Array:
    """Whom each example is mixed with, of the other class as far as there are: [B], [B] -> [B].

    Of the examples that count, sorted by label, the first meets the last, the second the last but
    one. One of weight 0 meets itself.
    """
    is_out = weight == 0
    order = jnp.argsort(labels + 2 * is_out, stable=True)
    rank, count = jnp.argsort(order), jnp.sum(~is_out)
    other = order[jnp.clip(count - 1 - rank, 0)]
    return jnp.where(is_out, jnp.arange(len(labels)), other)


@dataclasses.dataclass(frozen=True)
class Mixup:
    """The binary cross entropy of how much of a mixture is fake.

    Attributes:
      mixup: of both parameters of the beta distribution that an example's share is drawn from;
        None: nothing is mixed.
    """

    mixup: Annotated[float | None, POSITIVE] = 0.5

    def __call__(
        self, forward: Forward, batch: Batch, key: jax.Array, step: jax.Array
    ) -> tuple[jax.Array, Metrics]:
        """See `Objective`."""
        del step
        images, weight = batch["image"], batch["weight"]
        target = batch["label"].astype(jnp.float32)
        key, drawn = jax.random.split(key)
        if self.mixup is not None:
            share = jax.random.beta(drawn, self.mixup, self.mixup, target.shape)
            other = partners(batch["label"], weight)
            target = target + share * (target[other] - target)
            part = share.reshape(-1, *[1] * (images.ndim - 1))
            images = images + part * (images[other] - images)
        logits = forward(images, key=key)["logits"]
        if logits.ndim == 3:  # each frame of a clip has the clip's target
            frames = logits.shape[1]
            target, weight = (jnp.repeat(x, frames) for x in (target, weight))
            logits = logits.reshape(-1, logits.shape[-1])
        per_example = optax.sigmoid_binary_cross_entropy(logits[:, 1] - logits[:, 0], target)
        loss = weighted_mean(per_example, weight)
        accuracy = weighted_mean(correct(logits, (target > 0.5).astype(jnp.int32)), weight)
        return loss, {"cross_entropy": loss, "accuracy": accuracy}


def check(model: NTechLab, **sections: Any) -> None:
    """Raises ValueError for a backbone that there is not, or clips of a network of single faces."""
    check_backbone(model, **sections)
    if model.clip_length > 1 and not model.temporal:
        raise ValueError(
            f"clip_length {model.clip_length} needs temporal=True, as recipe 'sequence' has it"
        )


def _recipe(**model: Any) -> dict[str, dict[str, Any]]:
    return {
        "model": model,
        "data": {"balance": "batch", "real_repeat": 1},
        "train": {"batch_size": 64, "duration": "100000 steps"},
        "optimizer": {
            "name": "sgd",
            "learning_rate": 5e-3,
            "nesterov": True,
            "weight_decay": 1e-4,
            "schedule": "linear",
        },
        "eval": {"aggregation": "sharpened_mean"},
    }


FAMILY = Family(
    title="NTechLab",
    model=NTechLab,
    sections={"losses": Mixup},
    check=check,
    recipes={
        "paper": _recipe(),
        "erasing": _recipe(image_size=224),
        "sequence": _recipe(image_size=224, temporal=True),
    },
    provenance="port",
)
