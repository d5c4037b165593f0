"""The multi-task Y-shaped autoencoder: classifies a face, segments it and reconstructs it.

Nguyen, Fang, Yamagishi and Echizen, "Multi-task learning for detecting and segmenting manipulated
facial images and videos", BTAS 2019. Written anew after the authors' PyTorch code.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Annotated, Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from matnet_jax.detectors.base import Batch, Detector, Family, Forward, Metrics
from matnet_jax.detectors.fields import (
    IMAGE_SIZE,
    IMAGENET_MEAN,
    IMAGENET_STD,
    NOT_NEGATIVE,
    PIXEL_MEAN,
    PIXEL_STD,
)
from matnet_jax.nn.batch_norm import BatchNorm
from matnet_jax.nn.initializers import ONES, Normal, Uniform
from matnet_jax.nn.layers import Conv, ConvTranspose
from matnet_jax.nn.losses import correct, cross_entropy, weighted_mean

# Features and stride of each layer.
_ENCODER = ((8, 1), (8, 2), (16, 1), (16, 2), (32, 1), (32, 2), (64, 1), (64, 2), (128, 1))
_SHARED = ((64, 1), (64, 2), (32, 1), (32, 2))
_BRANCH = ((16, 1), (16, 2), (8, 1), (8, 2))
_SHRINKS_BY = 16


class Layers(nn.Module):
    """3×3 convolutions, each with batch normalisation and ReLU, and a last one bare of them.

    Attributes:
      layers: features and stride of each.
      outputs: features of the bare one; None for none.
      up: convolutions are transposed.
      drawn_by_torch: kernels and norms start as PyTorch's own, rather than as the authors'.
      dtype: of computation.
    """

    layers: tuple[tuple[int, int], ...]
    outputs: int | None = None
    up: bool = True
    drawn_by_torch: bool = False
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(
        self, x: jax.Array, *, train: bool = False, weight: jax.Array | None = None
    ) -> jax.Array:
        """[B, H, W, C] -> [B, H', W', features of the last layer]."""
        for i, (features, stride) in enumerate(self.layers):
            norm = BatchNorm(
                dtype=self.dtype,
                scale_init=ONES if self.drawn_by_torch else Normal(0.02, 0.5),
                name=f"bn_{i}",
            )
            x = nn.relu(norm(self.conv(x, features, stride, i), train=train, weight=weight))
        return x if self.outputs is None else self.conv(x, self.outputs, 1, len(self.layers))

    def conv(self, x: jax.Array, features: int, stride: int, index: int) -> jax.Array:
        """One convolution, its bias as PyTorch draws it: within 1 / √fan-in.

        PyTorch takes a transposed kernel's *outputs* for the fan-in.
        """
        limit = 1 / math.sqrt(9 * (features if self.up else x.shape[-1]))
        options: dict[str, Any] = {
            "dtype": self.dtype,
            "kernel_init": Uniform(limit) if self.drawn_by_torch else Normal(0.02),
            "bias_init": Uniform(limit),
            "name": f"conv_{index}",
        }
        if self.up:
            return ConvTranspose(features, 3, stride, **options)(x)
        return Conv(features, 3, stride, use_bias=True, padding=((1, 1), (1, 1)), **options)(x)


class MultiTask(Detector):
    """Encoder, and a decoder that ends in a segmentation and in a reconstruction of the face.

    The code's channels are two halves, one a class, forged first: the more a half is active, the
    likelier its class, and the decoder sees that half alone.

    Attributes:
      image_size: side in pixels, a multiple of 16.
      mean: of pixels in [0, 1], a channel each; ImageNet's.
      std: of pixels in [0, 1], a channel each; ImageNet's.
    """

    image_size: Annotated[int, IMAGE_SIZE] = 256
    mean: Annotated[tuple[float, float, float], PIXEL_MEAN] = IMAGENET_MEAN
    std: Annotated[tuple[float, float, float], PIXEL_STD] = IMAGENET_STD

    @nn.compact
    def __call__(
        self,
        images: jax.Array,
        *,
        train: bool = False,
        weight: jax.Array | None = None,
        labels: jax.Array | None = None,
    ) -> dict[str, jax.Array]:
        """Images [B, S, S, 3], normalised -> logits, segmentation and reconstruction, float32.

        With `labels` [B] the decoder sees the half of the true class, else that of the likelier.

        Returns:
          logits [B, 2]: the activity of either half, real first. segmentation [B, S, S, 2]:
          probabilities, the second that a pixel is forged. reconstruction [B, S, S, 3] in (−1, 1).
        """
        self.check_images(images)
        _check_size(images.shape[1], images.shape[2])
        mode: dict[str, Any] = {"train": train, "weight": weight}
        code = Layers(_ENCODER, up=False, dtype=self.dtype, name="encoder")(images, **mode)
        halves = jnp.stack(jnp.split(code, 2, axis=-1), axis=1)  # [B, 2, h, w, C/2], forged first
        activity = jnp.mean(jnp.abs(halves.astype(jnp.float32)), axis=(2, 3, 4))
        fake = activity[:, 0] > activity[:, 1] if labels is None else labels == 1
        seen = jnp.stack([fake, ~fake], axis=1)[:, :, None, None, None]
        chosen = jnp.where(seen, halves, jnp.zeros_like(halves))
        code = jnp.concatenate([chosen[:, 0], chosen[:, 1]], axis=-1)
        latent = Layers(_SHARED, drawn_by_torch=True, dtype=self.dtype, name="shared")(code, **mode)
        regions, colours = (
            Layers(_BRANCH, outputs, dtype=self.dtype, name=name)(latent, **mode)
            for name, outputs in (("segmenter", 2), ("reconstructor", 3))
        )
        return {
            "logits": activity[:, ::-1],
            "segmentation": nn.softmax(regions.astype(jnp.float32)),
            "reconstruction": jnp.tanh(colours.astype(jnp.float32)),
        }

    def heatmaps(self, out: Any) -> dict[str, jax.Array]:
        """The forged region: [B, S, S, 1], probabilities."""
        return {"forged_region": out["segmentation"][..., 1:]}


@dataclasses.dataclass(frozen=True)
class Losses:
    """The sum of three losses, one a task.

    Attributes:
      activation: weight of |activity − 1| of the true half and of |activity| of the other.
      segmentation: weight of the cross entropy of the pixels; a mask's are forged from 128 on.
      reconstruction: weight of the squared error of the *normalised* pixels, which tanh cannot
        reach everywhere.
      double_softmax: the cross entropy takes probabilities for logits, as the authors' does.
    """

    activation: Annotated[float, NOT_NEGATIVE] = 1.0
    segmentation: Annotated[float, NOT_NEGATIVE] = 1.0
    reconstruction: Annotated[float, NOT_NEGATIVE] = 1.0
    double_softmax: bool = True

    def __call__(
        self, forward: Forward, batch: Batch, key: jax.Array, step: jax.Array
    ) -> tuple[jax.Array, Metrics]:
        """See `Objective`."""
        del step
        images, labels, weight = batch["image"], batch["label"], batch["weight"]
        out = forward(images, key=key, labels=labels)
        probabilities = out["segmentation"]
        regions = probabilities if self.double_softmax else jnp.log(probabilities + 1e-12)
        pixels = cross_entropy(regions, (batch["mask"] >= 128).astype(jnp.int32))
        per_example = {
            "activation": jnp.sum(jnp.abs(out["logits"] - jax.nn.one_hot(labels, 2)), axis=-1),
            "segmentation": jnp.mean(pixels, axis=(1, 2)),
            "reconstruction": jnp.mean(jnp.square(out["reconstruction"] - images), axis=(1, 2, 3)),
        }
        losses = {name: weighted_mean(values, weight) for name, values in per_example.items()}
        total = sum(getattr(self, name) * value for name, value in losses.items())
        accuracy = weighted_mean(correct(out["logits"], labels), weight)
        return jnp.asarray(total), {**losses, "accuracy": accuracy}


def _check_size(*sides: int) -> None:
    if any(side % _SHRINKS_BY for side in sides):
        raise ValueError(
            f"images must be a multiple of {_SHRINKS_BY} pixels, as the decoder gives them back; "
            f"got {' × '.join(map(str, sides))}. Set image_size so, such as 256"
        )


RECIPES: Mapping[str, Mapping[str, Mapping[str, Any]]] = {
    "paper": {
        "train": {"batch_size": 64, "duration": "100 epochs"},
        "optimizer": {"weight_decay": 5e-4, "eps": 1e-7},
        "data": {"ops": "none"},
    }
}
"""The authors' code, of which the paper's text is silent or the same: Adam at 1e-3."""

FAMILY = Family(
    title="Multi-task",
    model=MultiTask,
    sections={"losses": Losses},
    check=lambda model, losses: _check_size(model.image_size),
    recipes=RECIPES,
    reads=("mask",),
    provenance="port",
)
