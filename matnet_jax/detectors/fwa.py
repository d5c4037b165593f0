"""FWA and DSP-FWA: ResNet-50s that find where a face was warped into its frame.

Li and Lyu, "Exposing DeepFake videos by detecting face warping artifacts", CVPR workshops 2019, and
its successor with a spatial pyramid. Written anew: of the authors' code only what it computes was
taken. Both see pixels as Caffe's networks do: BGR from 0 to 255, less a mean.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Annotated, Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from matnet_jax.detectors.activation import class_activation
from matnet_jax.detectors.backboned import BackboneDetector
from matnet_jax.detectors.base import Batch, Detector, Family, Forward, Metrics, build
from matnet_jax.detectors.classifier import PlainClassifier
from matnet_jax.detectors.fields import IMAGE_SIZE, NOT_NEGATIVE, PIXEL_MEAN, PIXEL_STD
from matnet_jax.nn.initializers import DENSE, ZEROS
from matnet_jax.nn.losses import correct, cross_entropy, weighted_mean
from matnet_jax.nn.resize import resize_nearest

MEAN = (123.68 / 255, 116.779 / 255, 103.939 / 255)
"""Of RGB pixels in [0, 1]."""
STD = (1 / 255, 1 / 255, 1 / 255)
"""Pixels stay in steps of 1."""
LEVELS = (1, 2, 6)
"""Cells on a side of each level of the pyramid."""


class CaffeDetector(BackboneDetector):
    """A backbone that sees pixels as Caffe's do.

    Attributes:
      image_size: side in pixels.
      mean: of RGB pixels in [0, 1]; Caffe's.
      std: of pixels in [0, 1]: they go in as from 0 to 255.
    """

    image_size: Annotated[int, IMAGE_SIZE] = 224
    mean: Annotated[tuple[float, float, float], PIXEL_MEAN] = MEAN
    std: Annotated[tuple[float, float, float], PIXEL_STD] = STD

    def endpoints(
        self, images: jax.Array, *, train: bool = False, weight: jax.Array | None = None
    ) -> dict[str, jax.Array]:
        """See `BackboneDetector.endpoints`; the backbone sees BGR."""
        return super().endpoints(images[..., ::-1], train=train, weight=weight)


class FWA(CaffeDetector, PlainClassifier):
    """ResNet-50, global average pooling, dense.

    Attributes:
      backbone: any; TF-slim's ResNet-50 is the authors'.
    """

    backbone: str = "resnet-50-slim"

    @property
    def description(self) -> str:
        """What it is, in a few words, for messages."""
        return f"FWA on {self.backbone}"


class SpatialPyramid(nn.Module):
    """Max-pooling to 1, 2 and 6 cells a side and one dense layer over all cells.

    The kernel's rows are by level, channel, row and column of the cell, as the authors flatten.
    """

    @nn.compact
    def __call__(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        """[B, h, w, C] -> logits [B, 2], and what each place says for fake, [B, h, w, 1].

        A cell's part of the difference of the logits goes to all places of its row and column of
        the grid, whichever of them had the largest value.
        """
        levels = [pooled(x.astype(jnp.float32), cells) for cells in LEVELS]
        sizes = [level[0].size for level in levels]
        kernel = self.param("kernel", DENSE, (sum(sizes), 2))
        bias = self.param("bias", ZEROS, (2,))
        logits, evidence, start = jnp.zeros((x.shape[0], 2)) + bias, jnp.zeros(()), 0
        for level, size in zip(levels, sizes, strict=True):
            _, rows, columns, channels = level.shape
            weights = kernel[start : start + size].reshape(channels, rows, columns, 2)
            said = jnp.einsum("bhwc,chwk->bhwk", level, weights)
            logits = logits + said.sum((1, 2))
            evidence = evidence + resize_nearest(said[..., 1:] - said[..., :1], x.shape[1:3])
            start += size
        return logits, evidence


def pooled(x: jax.Array, cells: int) -> jax.Array:
    """Max-pooling to `cells` a side where the map has as many: [B, h, w, C] -> [B, h', w', C].

    Windows of ⌈h / cells⌉ places, ⌊h / cells⌋ apart; they may overlap.
    """
    window = tuple(-(-n // cells) for n in x.shape[1:3])
    stride = tuple(max(n // cells, 1) for n in x.shape[1:3])
    return nn.max_pool(x, window, stride, "VALID")


class DSPFWA(CaffeDetector):
    """ResNet-50 and a spatial pyramid.

    Attributes:
      backbone: any; PyTorch's ResNet-50 is the authors'.
      image_size: side in pixels; the pyramid's cells follow from it.
    """

    backbone: str = "resnet-50"

    @property
    def description(self) -> str:
        """What it is, in a few words, for messages."""
        return f"DSP-FWA on {self.backbone}"

    def setup(self) -> None:
        """Makes the submodules."""
        self.features = self.make_backbone()
        self.pyramid = SpatialPyramid()

    def __call__(
        self, images: jax.Array, *, train: bool = False, weight: jax.Array | None = None
    ) -> dict[str, jax.Array]:
        """Images of `image_size` -> logits [B, 2], class_activation [B, h, w, 1]."""
        final = self.endpoints(images, train=train, weight=weight)["final"]
        logits, evidence = self.pyramid(final)
        return {"logits": logits, "class_activation": evidence}

    def heatmaps(self, out: Any) -> dict[str, jax.Array]:
        """See `Detector.heatmaps`."""
        return class_activation(out)


@dataclasses.dataclass(frozen=True)
class Losses:
    """The cross entropy, of hard examples alone where that is asked for.

    Attributes:
      cross_entropy: its weight.
      easy_above: an example whose own class has at least this probability counts as 0; 1: none is
        left out.
    """

    cross_entropy: Annotated[float, NOT_NEGATIVE] = 1.0
    easy_above: Annotated[float, NOT_NEGATIVE] = 1.0

    def __call__(
        self, forward: Forward, batch: Batch, key: jax.Array, step: jax.Array
    ) -> tuple[jax.Array, Metrics]:
        """See `Objective`."""
        del step
        labels, weight = batch["label"], batch["weight"]
        logits = forward(batch["image"], key=key)["logits"]
        of_examples = cross_entropy(logits, labels)
        is_hard = jax.lax.stop_gradient(jnp.exp(-of_examples) < self.easy_above)
        # A mean over all examples, as in the authors' code: fewer hard ones, a smaller loss.
        loss = weighted_mean(jnp.where(is_hard, of_examples, 0.0), weight)
        metrics = {
            "cross_entropy": weighted_mean(of_examples, weight),
            "hard": weighted_mean(is_hard.astype(jnp.float32), weight),
            "accuracy": weighted_mean(correct(logits, labels), weight),
        }
        return self.cross_entropy * loss, metrics


def _create(kind: type[BackboneDetector]) -> Any:
    def create(recipe: str, **fields: Any) -> Detector:
        model = build(kind, {}, {}, fields)
        model.make_backbone()
        return model

    return create


_TRAIN: Mapping[str, Any] = {"batch_size": 64, "duration": "20 epochs"}
_SGD: Mapping[str, Any] = {
    "name": "sgd",
    "momentum": 0.0,
    "learning_rate": 1e-3,
    "weight_decay": 1e-4,
    "schedule": "step",
    "decay_rate": 0.95,
}
RECIPES: Mapping[str, Mapping[str, Mapping[str, Any]]] = {
    "paper": {"train": _TRAIN, "optimizer": {**_SGD, "decay_every": "1000 steps"}},
    "released": {"train": _TRAIN, "optimizer": {**_SGD, "decay_every": "1 epoch"}},
}
"""The paper decays the rate every 1000 steps, the authors' code every epoch."""

FWA_FAMILY = Family(
    title="FWA",
    model=FWA,
    create=_create(FWA),
    sections={"losses": Losses},
    recipes=RECIPES,
    provenance="port",
)
DSP_FWA_FAMILY = dataclasses.replace(
    FWA_FAMILY,
    title="DSP-FWA",
    model=DSPFWA,
    create=_create(DSPFWA),
    recipes={"paper": RECIPES["released"]},
)
"""Its training was not published: FWA's, as its code has it."""
