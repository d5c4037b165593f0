"""A fine map beside the logits: where a forgery was blended in, learned from its mask.

After LAA-Net (Nguyen et al., CVPR 2024, arXiv 2401.13856), which also learns a heat map of where a
blend shows most beside its classification. There a map has a Gaussian around each point where the
boundary is highest, stands on a feature pyramid of its own, and comes with a branch for
self-consistency. Here the map is the boundary itself, of one stage's size, from a 1×1 convolution.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Annotated, Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax

from matnet_jax.backbones import find_backbone, resolve_stage
from matnet_jax.detectors.base import Batch
from matnet_jax.detectors.fields import NOT_NEGATIVE, Range
from matnet_jax.nn.layers import Dense
from matnet_jax.nn.losses import weighted_mean


@dataclasses.dataclass(frozen=True)
class FineMap:
    """The map of the blending boundary, and its loss.

    Attributes:
      weight: of the loss; 0: the network has no such map, and no masks are read.
      stage: of the backbone, as MAT's stages are named; "": that whose attention maps are the
        backbone's own choice.
      focus: exponent of the loss, see `boundary_loss`; 0: cross entropy.
      blur: side in pixels of the square that a mask is averaged over first, odd; 1: not at all.
    """

    weight: Annotated[float, NOT_NEGATIVE] = 0.0
    stage: str = ""
    # Between 0 and 1 the gradient of a perfect prediction would be infinite.
    focus: Annotated[float, Range(lambda v: v == 0 or v >= 1, "0, or at least 1")] = 2.0
    blur: Annotated[int, Range(lambda v: v >= 1 and v % 2 == 1, "odd, at least 1")] = 5

    def __call__(self, logits: jax.Array, batch: Batch) -> jax.Array:
        """The mean loss of logits [B, h, w] over the examples that count.

        Args:
          logits: of the boundary.
          batch: mask [B, S, S] uint8, 255 where forged and zeros for a real image; weight [B].
        """
        target = boundary_target(batch["mask"], logits.shape[1:], blur=self.blur)
        per_example = boundary_loss(logits, target, focus=self.focus)
        return weighted_mean(per_example, batch["weight"])


class BoundaryHead(nn.Module):
    """Logits of the boundary from a stage's features: {name: [B, h, w, C]} -> [B, h, w] float32.

    Attributes:
      stage: the backbone's own name of it.
      dtype: of computation.
    """

    stage: str
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, stages: Mapping[str, jax.Array]) -> jax.Array:
        """See the class."""
        logits: jax.Array = Dense(1, self.dtype, name="project")(stages[self.stage])
        return logits[..., 0].astype(jnp.float32)


def make_head(
    stage: str | None, backbone: str, endpoints: Mapping[str, int], dtype: jnp.dtype
) -> BoundaryHead | None:
    """The head on a stage of a backbone; None where stage is.

    Args:
      stage: "" for the backbone's own attention stage.
      backbone: its name.
      endpoints: channels of its stages by name.
      dtype: of computation.

    Raises:
      ValueError: there is no such stage; the message lists those there are.
    """
    if stage is None:
        return None
    named = stage or find_backbone(backbone).attention_stage
    return BoundaryHead(resolve_stage(named, endpoints), dtype)


def heatmap(out: Any) -> dict[str, jax.Array]:
    """``boundary``, the probabilities [B, h, w, 1] of what a network gave; empty without a map."""
    if "boundary_logits" not in out:
        return {}
    return {"boundary": jax.nn.sigmoid(out["boundary_logits"])[..., None]}


def derive(*, fine_map: FineMap, **others: Any) -> Mapping[str, Any]:
    """Fields of a model that its fine map asks for."""
    del others
    return {"boundary_stage": fine_map.stage if fine_map.weight else None}


def reads(*, fine_map: FineMap, **others: Any) -> tuple[str, ...]:
    """What of an example the loss needs."""
    del others
    return ("mask",) if fine_map.weight else ()


def boundary(mask: jax.Array) -> jax.Array:
    """4·m·(1 − m) of a mask in [0, 1]: 1 where both images weigh the same, 0 where one is alone.

    As Face X-ray defines it (Li et al., CVPR 2020).
    """
    return 4.0 * mask * (1.0 - mask)


def boundary_target(mask: jax.Array, size: tuple[int, ...], *, blur: int = 1) -> jax.Array:
    """The boundary at a map's size: [B, S, S] uint8 -> [B, *size] float32 in [0, 1].

    A hard mask has no pixel in between, so masks are averaged over `blur` pixels first. A cell has
    its highest pixel's value: the mean would fade a boundary of a few pixels to nothing in a cell
    of 16 or 32.
    """
    blurred = box_mean(mask.astype(jnp.float32) / 255.0, blur)
    return largest_of_cells(boundary(blurred), size)


def box_mean(images: jax.Array, side: int) -> jax.Array:
    """Mean over `side`×`side` pixels, of those inside the image: [B, H, W] -> [B, H, W]."""
    if side == 1:
        return images
    total = lax.reduce_window(images, 0.0, lax.add, (1, side, side), (1, 1, 1), "SAME")
    reach, at = side // 2, [np.arange(n) for n in images.shape[1:]]
    rows, columns = (np.minimum(i, reach) + 1 + np.minimum(len(i) - 1 - i, reach) for i in at)
    return total / np.outer(rows, columns).astype(np.float32)


def largest_of_cells(images: jax.Array, size: tuple[int, ...]) -> jax.Array:
    """Highest value in each of h×w cells: [B, H, W] -> [B, h, w].

    Pixel p is of cell floor(p·h / H), and of no other.
    """
    rows, columns = (_cells(n, m) for n, m in zip(images.shape[1:], size, strict=True))
    return images[:, rows].max(2)[:, :, columns].max(3)


def _cells(pixels: int, cells: int) -> np.ndarray:
    """[cells, K] indices of each cell's pixels; the last is repeated where there are fewer."""
    first = -(-np.arange(cells + 1) * pixels // cells)
    longest = np.diff(first).max()
    return np.minimum(first[:-1, None] + np.arange(longest), first[1:, None] - 1)


def boundary_loss(logits: jax.Array, target: jax.Array, *, focus: float = 0.0) -> jax.Array:
    """Mean over cells of |t − p|^focus times the binary cross entropy: [B, h, w] -> [B] nats.

    The factor lets the few cells of a boundary stand against the many without, as LAA-Net's focal
    loss does. That one is for a target of Gaussians around points, with other factors at a point
    and beside it; this one is for any target t in [0, 1] (Li et al., NeurIPS 2020), and, with a
    focus, 0 where p = t.
    """
    logits = logits.astype(jnp.float32)
    per_cell = optax.sigmoid_binary_cross_entropy(logits, target)
    if focus:
        per_cell *= jnp.abs(target - jax.nn.sigmoid(logits)) ** focus
    return jnp.mean(per_cell, (1, 2))
