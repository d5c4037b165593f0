"""Two-stream: a network on the face, and residuals of its patches that tell images apart.

Zhou, Han, Morariu and Davis, "Two-stream neural networks for tampered face detection", CVPR
workshops 2017. The authors published no code: a reconstruction. Their patches' 5514 figures need
the camera's colour filter; in their place stand 162 co-occurrences of each colour.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

from matnet_jax.detectors.activation import class_activation, evidence_of_places
from matnet_jax.detectors.backboned import BackboneDetector
from matnet_jax.detectors.base import Batch, Family, Forward, Metrics, build
from matnet_jax.detectors.fields import COUNT, IMAGE_SIZE, NOT_NEGATIVE, POSITIVE, RATE, Range
from matnet_jax.nn.cooccurrence import FEATURES, third_order_features
from matnet_jax.nn.layers import Dense
from matnet_jax.nn.losses import correct, cross_entropy, hinge, triplet, weighted_mean
from matnet_jax.nn.norms import l2_normalize

_RESIDUAL = Range(lambda v: v >= 7, "at least 7 pixels, which hold one run of residuals")


class TwoStream(BackboneDetector):
    """The mean of what the face says and of what its patches say.

    Attributes:
      backbone: of the face's stream; Inception-v3 is the authors'.
      image_size: side in pixels.
      streams: both; or the face's alone, as a plain classifier.
      dropout_rate: before the face's dense layer.
      patch_size: side in pixels of the image as the network gets it.
      patch_stride: pixels from one patch to the next.
      quantum: pixel values of 255 that one step of the residuals is.
      hidden: units of the patches' first dense layer.
      embedding: numbers that a patch becomes.
    """

    backbone: str = "inception-v3"
    image_size: Annotated[int, IMAGE_SIZE] = 299
    streams: Literal["both", "face"] = "both"
    dropout_rate: Annotated[float, RATE] = 0.5
    patch_size: Annotated[int, _RESIDUAL] = 128
    patch_stride: Annotated[int, COUNT] = 64
    quantum: Annotated[float, POSITIVE] = 1.0
    hidden: Annotated[int, COUNT] = 1024
    embedding: Annotated[int, COUNT] = 512

    @property
    def description(self) -> str:
        """What it is, in a few words, for messages."""
        return f"Two-stream on {self.backbone}, streams {self.streams}"

    def setup(self) -> None:
        """Makes the submodules."""
        self.features = self.make_backbone()
        self.dropout = nn.Dropout(self.dropout_rate)
        self.head = Dense(2, self.dtype)
        if self.streams == "both":
            self.embed_1 = Dense(self.hidden, self.dtype)
            self.embed_2 = Dense(self.embedding, self.dtype)
            self.svm = Dense(1)

    def __call__(
        self, images: jax.Array, *, train: bool = False, weight: jax.Array | None = None
    ) -> dict[str, jax.Array]:
        """Images [B, H, W, 3], normalised -> what both streams say, float32.

        Returns:
          logits [B, 2]: logarithms, so that their softmax is the score. face_logits [B, 2],
          class_activation [B, h, w, 1]; and of both streams patch_margins [B, rows, columns],
          above 0 for fake, and patch_embeddings [B, rows, columns, E] of length 1.
        """
        final = self.endpoints(images, train=train, weight=weight)["final"].astype(jnp.float32)
        pooled = self.dropout(jnp.mean(final, axis=(1, 2)), deterministic=not train)
        face = self.head(pooled).astype(jnp.float32)
        out = {"face_logits": face, "class_activation": evidence_of_places(final, self.head)}
        if self.streams == "face":
            return {"logits": face, **out}
        hidden = nn.relu(self.embed_1(self.patch_features(images)))
        embeddings = l2_normalize(self.embed_2(hidden).astype(jnp.float32))
        # A machine on features that are made for telling images apart, not for its own loss.
        margins = self.svm(lax.stop_gradient(embeddings))[..., 0]
        patches = jnp.mean(nn.sigmoid(margins), axis=(1, 2))
        fake = jnp.clip((nn.softmax(face)[:, 1] + patches) / 2, 1e-7, 1 - 1e-7)
        out |= {"patch_margins": margins, "patch_embeddings": embeddings}
        return {"logits": jnp.log(jnp.stack([1 - fake, fake], axis=-1)), **out}

    def patch_features(self, images: jax.Array) -> jax.Array:
        """The co-occurrences of each colour of each patch, times 81: [B, rows, columns, 486].

        81 bins that all have the same would be 1 each.
        """
        pixels = images.astype(jnp.float32) * jnp.asarray(self.std) + jnp.asarray(self.mean)
        pixels = lax.stop_gradient(jnp.clip(jnp.round(pixels * 255), 0, 255))
        places = [
            range(0, size - self.patch_size + 1, self.patch_stride) for size in pixels.shape[1:3]
        ]
        if not all(places):
            raise ValueError(
                f"images of {pixels.shape[1]}×{pixels.shape[2]} pixels hold no patch of "
                f"{self.patch_size}: take larger images, or a smaller config.model.patch_size"
            )
        side = self.patch_size
        patches = jnp.stack(
            [
                jnp.stack([pixels[:, y : y + side, x : x + side] for x in places[1]], axis=1)
                for y in places[0]
            ],
            axis=1,
        )  # [B, rows, columns, side, side, 3]
        flat = jnp.moveaxis(patches, -1, 3).reshape(-1, side, side)
        found = FEATURES / 2 * third_order_features(flat, self.quantum)
        return found.reshape(*patches.shape[:3], -1)

    def heatmaps(self, out: Any) -> dict[str, jax.Array]:
        """See `Detector.heatmaps`: class activation, and each patch's sigmoid at its place."""
        maps = class_activation(out)
        if self.streams == "both":
            maps["patches"] = nn.sigmoid(out["patch_margins"])[..., None]
        return maps


@dataclasses.dataclass(frozen=True)
class Losses:
    """Of the face's stream, of the patches' embedding, and of the machine on that.

    Attributes:
      cross_entropy: weight of the face's.
      triplet: weight of the embedding's: two patches of an image are nearer than one of another's.
      triplet_margin: by so much, in squared distances.
      hinge: weight of the linear machine's, which patches of a fake image are to be fake in.
    """

    cross_entropy: Annotated[float, NOT_NEGATIVE] = 1.0
    triplet: Annotated[float, NOT_NEGATIVE] = 1.0
    triplet_margin: Annotated[float, NOT_NEGATIVE] = 0.04
    hinge: Annotated[float, NOT_NEGATIVE] = 1.0

    def __call__(
        self, forward: Forward, batch: Batch, key: jax.Array, step: jax.Array
    ) -> tuple[jax.Array, Metrics]:
        """See `Objective`."""
        del step
        labels, weight = batch["label"], batch["weight"]
        dropout_key, triplet_key = jax.random.split(key)
        out = forward(batch["image"], key=dropout_key)
        entropy = weighted_mean(cross_entropy(out["face_logits"], labels), weight)
        accuracy = weighted_mean(correct(out["logits"], labels), weight)
        metrics = {"cross_entropy": entropy, "accuracy": accuracy}
        loss = self.cross_entropy * entropy
        if "patch_margins" not in out:
            return loss, metrics
        patches = out["patch_embeddings"]
        patches = patches.reshape(len(patches), -1, patches.shape[-1])
        apart, has_other = triplets(patches, weight, self.triplet_margin, triplet_key)
        margins = out["patch_margins"].reshape(len(patches), -1)
        machine = jnp.mean(hinge(margins, labels[:, None]), axis=1)
        metrics["triplet"] = weighted_mean(apart, has_other)
        metrics["hinge"] = weighted_mean(machine, weight)
        return loss + self.triplet * metrics["triplet"] + self.hinge * metrics["hinge"], metrics


def triplets(
    patches: jax.Array, weight: jax.Array, margin: float, key: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """One triplet for each patch: with another patch of its image, and one of another image.

    Args:
      patches: embeddings, [B, P, E]; of one patch alone, it is its own pair.
      weight: of images, [B]; one of weight 0 gives no negative.
      margin: see `triplet`.
      key: of the choice.

    Returns:
      The mean loss of an image's patches, [B]; and its weight, 0 where there is no other image.
    """
    images, count = patches.shape[:2]
    to_pair, to_image, to_patch = jax.random.split(key, 3)
    shift = jax.random.randint(to_pair, (images, count), 1, max(count, 2))
    positive = (jnp.arange(count) + shift) % count
    allowed = (weight > 0)[None, :] & ~jnp.eye(images, dtype=bool)
    chances = jnp.where(allowed, 0.0, -jnp.inf)[:, None, :]
    draw = jax.random.gumbel(to_image, (images, count, images))
    other = jnp.argmax(draw + chances, axis=-1)  # evenly among those allowed
    negative = jax.random.randint(to_patch, (images, count), 0, count)
    of_patches = triplet(
        patches,
        jnp.take_along_axis(patches, positive[..., None], axis=1),
        patches[other, negative],
        margin,
    )
    return jnp.mean(of_patches, axis=1), weight * jnp.any(allowed, axis=1)


def create_two_stream(recipe: str = "paper", **fields: Any) -> TwoStream:
    """A network of the family; see `Family.make`."""
    model = build(TwoStream, {}, RECIPES[recipe].get("model", {}), fields)
    model.make_backbone()
    return model


def check(model: TwoStream, **sections: Any) -> None:
    """Raises ValueError where an image holds no two patches, of which a triplet has a pair."""
    del sections
    if model.streams == "both" and model.image_size < model.patch_size + model.patch_stride:
        raise ValueError(
            f"images of {model.image_size} pixels hold no two patches of {model.patch_size}, "
            f"{model.patch_stride} apart: take larger images or smaller patches, or "
            "config.model.streams='face'"
        )


_RUN: Mapping[str, Mapping[str, Any]] = {
    "train": {"batch_size": 32, "duration": "16000 steps"},
    "optimizer": {
        "name": "sgd",
        "learning_rate": 1e-3,
        "momentum": 0.9,
        "weight_decay": 4e-5,
    },
}
RECIPES: Mapping[str, Mapping[str, Mapping[str, Any]]] = {
    "paper": _RUN,
    "face": {**_RUN, "model": {"streams": "face"}},
}
"""Both streams; and the face's alone, which others evaluated under the system's name."""

FAMILY = Family(
    title="Two-stream",
    model=TwoStream,
    create=create_two_stream,
    sections={"losses": Losses},
    check=check,
    recipes=RECIPES,
    provenance="reconstruction",
)
