"""Face X-ray: a map of the border along which a face was blended in, and a verdict from it.

Li, Bao, Zhang, Yang, Chen, Wen and Guo, "Face X-ray for more general face forgery detection", CVPR
2020. The authors published the making of their training images alone; the network follows the
paper, and with ``head="public"`` others' code.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from matnet_jax.detectors.backboned import BackboneDetector
from matnet_jax.detectors.base import Batch, Family, Forward, Metrics, build
from matnet_jax.detectors.fields import (
    IMAGE_SIZE,
    IMAGENET_MEAN,
    IMAGENET_STD,
    NOT_NEGATIVE,
    PIXEL_MEAN,
    PIXEL_STD,
)
from matnet_jax.nn.batch_norm import BatchNorm
from matnet_jax.nn.layers import Conv, Dense
from matnet_jax.nn.losses import correct, cross_entropy, weighted_mean
from matnet_jax.nn.resize import adaptive_average_pool, resize_bilinear, resize_centred

ONE = ((1, 1), (1, 1))


def xray_of_mask(mask: jax.Array) -> jax.Array:
    """4·m·(1 − m), 1 halfway through a soft border: uint8 [B, H, W], 255 forged -> float32."""
    m = mask.astype(jnp.float32) / 255.0
    return 4.0 * m * (1.0 - m)


def softened(mask: jax.Array, pixels: int) -> jax.Array:
    """Means of squares of 2·`pixels` + 1 around each place, borders continued: [B, H, W]."""
    if pixels == 0:
        return mask
    side = 2 * pixels + 1
    padded = jnp.pad(mask.astype(jnp.float32), ((0, 0), *[(pixels, pixels)] * 2), mode="edge")
    return nn.avg_pool(padded[..., None], (side, side))[..., 0]


class FaceXRay(BackboneDetector):
    """A backbone's map, brought to the image's size, and a dense layer on it.

    Attributes:
      backbone: HRNet, or any other; its "final" is what the map is made of.
      image_size: side in pixels.
      mean: of pixels in [0, 1], a channel each; ImageNet's.
      std: of pixels in [0, 1], a channel each.
      head: "paper": one 1×1 convolution and a sigmoid; of the map, its mean and a dense layer.
        "public": three convolutions and no sigmoid; of the map, at 128×128, three dense layers.
    """

    backbone: str = "hrnet-w48"
    image_size: Annotated[int, IMAGE_SIZE] = 256
    mean: Annotated[tuple[float, float, float], PIXEL_MEAN] = IMAGENET_MEAN
    std: Annotated[tuple[float, float, float], PIXEL_STD] = IMAGENET_STD
    head: Literal["paper", "public"] = "paper"

    @property
    def description(self) -> str:
        """What it is, in a few words, for messages."""
        return f"Face X-ray on {self.backbone}"

    def setup(self) -> None:
        """Makes the submodules."""
        self.features = self.make_backbone()
        self.xray = PublicMap(self.dtype) if self.head == "public" else PaperMap(self.dtype)
        self.verdict = PublicVerdict(self.dtype) if self.head == "public" else PaperVerdict()

    def __call__(
        self, images: jax.Array, *, train: bool = False, weight: jax.Array | None = None
    ) -> dict[str, jax.Array]:
        """Images [B, H, W, 3] -> logits [B, 2] and xray_logits [B, H, W, 1], both float32.

        Of the paper's head the X-ray is the sigmoid of these; the public head's are it.
        """
        final = self.endpoints(images, train=train, weight=weight)["final"]
        found = self.xray(final, images.shape[1:3], train, weight).astype(jnp.float32)
        return {"logits": self.verdict(found, train, weight), "xray_logits": found}

    def xray_of(self, out: Any) -> jax.Array:
        """The X-ray of an output, [B, H, W, 1] in [0, 1]."""
        found = out["xray_logits"]
        return nn.sigmoid(found) if self.head == "paper" else jnp.clip(found, 0.0, 1.0)

    def heatmaps(self, out: Any) -> dict[str, jax.Array]:
        """See `Detector.heatmaps`."""
        return {"face_xray": self.xray_of(out)}


class PaperMap(nn.Module):
    """1×1 convolution, then bilinear to the image's size: logits of the X-ray."""

    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, size: tuple[int, ...], train: bool, weight: Any) -> jax.Array:
        """[B, h, w, C] -> [B, *size, 1]."""
        del train, weight
        x = Conv(1, 1, use_bias=True, dtype=self.dtype, name="conv")(x)
        return resize_centred(x.astype(jnp.float32), size)


class PaperVerdict(nn.Module):
    """The mean of the X-ray and a dense layer."""

    @nn.compact
    def __call__(self, xray_logits: jax.Array, train: bool, weight: Any) -> jax.Array:
        """[B, H, W, 1] -> logits [B, 2]."""
        del train, weight
        return Dense(2, name="logits")(jnp.mean(nn.sigmoid(xray_logits), axis=(1, 2)))


class PublicMap(nn.Module):
    """Two 3×3 convolutions and a 1×1 one, then bilinear to the image's size: the X-ray itself."""

    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, size: tuple[int, ...], train: bool, weight: Any) -> jax.Array:
        """[B, h, w, C] -> [B, *size, 1]."""
        for i, features in enumerate((256, 128)):
            layer = Conv(features, padding=ONE, use_bias=True, dtype=self.dtype, name=f"conv_{i}")
            norm = BatchNorm(dtype=self.dtype, name=f"bn_{i}")
            x = nn.relu(norm(layer(x), train=train, weight=weight))
        x = Conv(1, 1, use_bias=True, dtype=self.dtype, name="conv_2")(x)
        return resize_bilinear(x.astype(jnp.float32), size)


class PublicVerdict(nn.Module):
    """The X-ray at 128×128 and three dense layers, two of them normalised."""

    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, xray: jax.Array, train: bool, weight: Any) -> jax.Array:
        """[B, H, W, 1] -> logits [B, 2] float32."""
        x = adaptive_average_pool(xray, (128, 128)).reshape(xray.shape[0], -1)
        for i, features in enumerate((1024, 128)):
            norm = BatchNorm(dtype=self.dtype, name=f"bn_{i}")
            x = Dense(features, self.dtype, name=f"dense_{i}")(x)
            x = nn.relu(norm(x, train=train, weight=weight))
        return Dense(2, self.dtype, name="logits")(x).astype(jnp.float32)


@dataclasses.dataclass(frozen=True)
class Losses:
    """Of the X-ray, pixel by pixel, and of the verdict.

    Attributes:
      xray: weight of the X-ray's, the paper's λ.
      xray_kind: cross_entropy, of each pixel, the paper's; squared_error, public code's.
      cross_entropy: weight of the verdict's.
      soften_pixels: masks are averaged over squares that reach so far, before the X-ray is taken of
        them. 0 for soft masks, as blended images have; a hard mask has no X-ray at all.
    """

    xray: Annotated[float, NOT_NEGATIVE] = 100.0
    xray_kind: Literal["cross_entropy", "squared_error"] = "cross_entropy"
    cross_entropy: Annotated[float, NOT_NEGATIVE] = 1.0
    soften_pixels: Annotated[int, NOT_NEGATIVE] = 0

    def __call__(
        self, forward: Forward, batch: Batch, key: jax.Array, step: jax.Array
    ) -> tuple[jax.Array, Metrics]:
        """See `Objective`; masks are those of the images, [B, H, W] uint8."""
        del step
        labels, weight = batch["label"], batch["weight"]
        out = forward(batch["image"], key=key)
        target = xray_of_mask(softened(batch["mask"], self.soften_pixels))
        found = out["xray_logits"][..., 0]
        if self.xray_kind == "cross_entropy":
            pixels = optax.sigmoid_binary_cross_entropy(found, target)
        else:
            pixels = jnp.square(found - target)
        xray = weighted_mean(jnp.mean(pixels, axis=(1, 2)), weight)
        verdict = weighted_mean(cross_entropy(out["logits"], labels), weight)
        accuracy = weighted_mean(correct(out["logits"], labels), weight)
        metrics = {"xray": xray, "cross_entropy": verdict, "accuracy": accuracy}
        return self.xray * xray + self.cross_entropy * verdict, metrics


def create_face_xray(recipe: str = "paper", **fields: Any) -> FaceXRay:
    """A network of the family; see `Family.make`."""
    model = build(FaceXRay, {}, RECIPES[recipe].get("model", {}), fields)
    model.make_backbone()
    return model


def check(model: FaceXRay, *, losses: Losses) -> None:
    """Raises ValueError where the loss does not suit the head."""
    wanted = {"paper": "cross_entropy", "public": "squared_error"}[model.head]
    if losses.xray_kind != wanted:
        raise ValueError(
            f"the head '{model.head}' is trained with losses.xray_kind='{wanted}', not "
            f"'{losses.xray_kind}': its map is {'logits' if model.head == 'paper' else 'no logits'}"
        )


_ADAM: Mapping[str, Any] = {"learning_rate": 2e-4, "weight_decay": 0.0}
RECIPES: Mapping[str, Mapping[str, Mapping[str, Any]]] = {
    "paper": {
        "train": {"batch_size": 32, "duration": "200000 steps"},
        "optimizer": {**_ADAM, "schedule": "linear", "hold": "150000 steps"},
    },
    "public": {
        "model": {"head": "public", "mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)},
        "losses": {"xray": 1000.0, "xray_kind": "squared_error"},
        "optimizer": _ADAM,
    },
}
"""The paper's text; and the network and losses of public code."""

FAMILY = Family(
    title="Face X-ray",
    model=FaceXRay,
    create=create_face_xray,
    sections={"losses": Losses},
    check=check,
    recipes=RECIPES,
    reads=("mask",),
    provenance="port-data",
)
