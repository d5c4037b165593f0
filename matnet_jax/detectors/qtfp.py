"""QTFP: queries gather evidence from a transformer's patches, in place of the class's token.

Wang et al., "Beyond [CLS] token: query-driven token-level forgery purification for generalizable
deepfake detection", CVPR 2026. The queries stand outside of the backbone, which Effort trains.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Annotated, Any

import jax
import jax.numpy as jnp
from jax import lax

from matnet_jax.backbones.vit import CLASS_ATTENTION
from matnet_jax.detectors.base import Batch, Family, Forward, Metrics
from matnet_jax.detectors.class_token import check_transformer
from matnet_jax.detectors.effort import PAPER, Effort
from matnet_jax.detectors.fields import COUNT, NOT_NEGATIVE, POSITIVE, RATE
from matnet_jax.nn.initializers import Normal
from matnet_jax.nn.losses import correct, cross_entropy, weighted_mean
from matnet_jax.nn.norms import l2_normalize

_TINY = 1e-12  # of an attention, before its logarithm


class QTFP(Effort):
    """A dense layer on what queries take of the last block's patches.

    Attributes:
      num_queries: K.
    """

    num_queries: Annotated[int, COUNT] = 4

    @property
    def description(self) -> str:
        """What it is, in a few words, for messages."""
        return f"QTFP on {self.backbone} ({self.num_queries} queries, rank {self.rank})"

    def setup(self) -> None:
        """Makes the submodules."""
        super().setup()
        shape = (self.num_queries, self.features.width)
        self.queries = self.param("queries", Normal(0.02), shape)

    def __call__(
        self, images: jax.Array, *, train: bool = False, weight: jax.Array | None = None
    ) -> dict[str, jax.Array]:
        """Images [B, H, W, 3], normalised floats -> logits, feature, and where was looked.

        ``logits`` [B, 2] float32; ``feature`` [B, C] float32, the mean of what K queries took;
        ``query_attention`` [B, h, w, K] and ``class_attention`` [B, h, w, 1] float32, shares of
        the patches, 1 in sum; in training ``patches`` [B, h·w, C] float32 too, for the losses.
        """
        stages = self.endpoints(images, train=train, weight=weight)
        final = stages["final"].astype(jnp.float32)
        batch, height, width, channels = final.shape
        patches = final.reshape(batch, height * width, channels)
        scores = jnp.einsum("kc,bpc->bkp", self.queries, patches) / math.sqrt(channels)
        attention = jax.nn.softmax(scores)
        feature = jnp.mean(jnp.einsum("bkp,bpc->bkc", attention, patches), axis=1)
        others = jnp.mean(stages[CLASS_ATTENTION], axis=-1, keepdims=True)
        out = {
            "logits": self.head(feature),
            "feature": feature,
            "query_attention": attention.swapaxes(1, 2).reshape(batch, height, width, -1),
            # The class's token looks at itself, too: of patches alone, these are shares.
            "class_attention": others / jnp.sum(others, axis=(1, 2), keepdims=True),
        }
        return out | {"patches": patches} if train else out

    def heatmaps(self, out: Any) -> dict[str, jax.Array]:
        """What each query takes of each patch, and what the class's token does."""
        return {name: out[name] for name in ("query_attention", "class_attention")}


def patch_contrast(
    patches: jax.Array,
    labels: jax.Array,
    weight: jax.Array,
    *,
    temperature: float,
    sharpness: float,
) -> jax.Array:
    """Draws patches of forged images together, those the most that look forged.

    −w·log of the share that patches of forged images have in Σ exp(cos / temperature) over all
    other patches of the batch; the mean over patches of forged images. w = σ(sharpness·δ), δ by how
    much more a patch is like the mean patch of forged images than like that of real ones. The
    weights have no gradient.

    Args:
      patches: [B, P, C].
      labels: [B].
      weight: [B]; patches of an example of weight 0 are not there.
      temperature: τ.
      sharpness: how fast the weights go from 0 to 1.

    Returns:
      A scalar; 0 where the batch has no forged image.
    """
    batch, count, channels = patches.shape
    flat = l2_normalize(patches).reshape(batch * count, channels)
    counts = jnp.repeat(weight, count)
    forged = counts * jnp.repeat(labels == 1, count)

    def prototype(share: jax.Array) -> jax.Array:
        return l2_normalize(jnp.sum(flat * share[:, None], axis=0))

    likeness = flat @ (prototype(forged) - prototype(counts - forged))
    emphasis = lax.stop_gradient(jax.nn.sigmoid(sharpness * likeness))
    scores, others = flat @ flat.T / temperature, 1 - jnp.eye(len(flat))
    has = (forged > 0) & (others @ forged > 0)

    def log_sum(share: jax.Array) -> jax.Array:
        # Of rows that count for nothing any sum will do whose gradient is a number.
        return jax.nn.logsumexp(scores, axis=1, b=jnp.where(has[:, None], others * share, 1.0))

    logs = jnp.where(has, log_sum(forged) - log_sum(counts), 0.0)
    return -jnp.sum(forged * emphasis * logs) / jnp.maximum(jnp.sum(forged), 1.0)


def attention_divergence(queries: jax.Array, classes: jax.Array) -> jax.Array:
    """KL(query ‖ class) of attentions [B, h, w, K] and [B, h, w, 1], the mean over K: [B].

    The class's has no gradient: it is what the queries are held to.
    """
    q = jnp.maximum(queries, _TINY)
    logs = jnp.log(q) - jnp.log(jnp.maximum(lax.stop_gradient(classes), _TINY))
    return jnp.mean(jnp.sum(q * logs, axis=(1, 2)), axis=-1)


@dataclasses.dataclass(frozen=True)
class Losses:
    """Weights of the parts.

    Attributes:
      cross_entropy: of the cross entropy.
      contrast: of the contrast of patches.
      alignment: of the divergence of the queries' attention from the class's, on real images.
      temperature: of the contrast.
      sharpness: of the contrast's weights of patches.
      label_smoothing: of the cross entropy's targets.
    """

    cross_entropy: Annotated[float, NOT_NEGATIVE] = 1.0
    contrast: Annotated[float, NOT_NEGATIVE] = 0.14
    alignment: Annotated[float, NOT_NEGATIVE] = 1.0
    temperature: Annotated[float, POSITIVE] = 0.1
    sharpness: Annotated[float, NOT_NEGATIVE] = 10.0
    label_smoothing: Annotated[float, RATE] = 0.0

    def __call__(
        self, forward: Forward, batch: Batch, key: jax.Array, step: jax.Array
    ) -> tuple[jax.Array, Metrics]:
        """See `Objective`."""
        del step
        labels, weight = batch["label"], batch["weight"]
        out = forward(batch["image"], key=key)
        entropy = cross_entropy(out["logits"], labels, label_smoothing=self.label_smoothing)
        divergence = attention_divergence(out["query_attention"], out["class_attention"])
        metrics = {
            "cross_entropy": weighted_mean(entropy, weight),
            "contrast": patch_contrast(
                out["patches"],
                labels,
                weight,
                temperature=self.temperature,
                sharpness=self.sharpness,
            ),
            "alignment": weighted_mean(divergence, weight * (labels == 0)),
            "accuracy": weighted_mean(correct(out["logits"], labels), weight),
        }
        loss = (
            self.cross_entropy * metrics["cross_entropy"]
            + self.contrast * metrics["contrast"]
            + self.alignment * metrics["alignment"]
        )
        return loss, metrics


FAMILY = Family(
    title="QTFP",
    model=QTFP,
    sections={"losses": Losses},
    check=check_transformer,
    # Effort's, but for smaller batches.
    recipes={"paper": {**PAPER, "train": {**PAPER["train"], "batch_size": 16}}},
    provenance="reconstruction",
)
