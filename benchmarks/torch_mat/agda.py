"""Attention-guided data augmentation in PyTorch: the soft mode, which both recipes train with."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

KERNEL_SIZE, SIGMA = 11, 7.0


class Draw(NamedTuple):
    """What is random: the map of each sample [B], and of the released recipe the rest.

    Attributes:
      chosen: the map.
      threshold, zoom: of the weight function, scalars; None weighs by the map itself.
      noise: on the small image, [B, 3, h, w].
    """

    chosen: Tensor
    threshold: Tensor | None = None
    zoom: Tensor | None = None
    noise: Tensor | None = None


def scale(*, released: bool) -> float:
    """Of the small image that is blurred."""
    return 0.5 if released else 0.3


def draw(images: Tensor, maps: Tensor, *, released: bool) -> Draw:
    """Draws for images [B, 3, H, W] and their attention maps [B, M, h, w]."""
    if not released:
        return Draw(torch.randint(maps.shape[1], (len(maps),), device=maps.device))
    index = torch.multinomial((maps.sum((2, 3)) + 1).sqrt(), 1)[:, 0]
    threshold, zoom = (images.new_empty(()).uniform_(*ends) for ends in ((0.4, 0.6), (3, 5)))
    small = [int(side * scale(released=True)) for side in images.shape[2:]]
    noise = 0.1 * torch.randn(*images.shape[:2], *small, dtype=images.dtype, device=images.device)
    return Draw(index, threshold, zoom, noise)


def blur(images: Tensor) -> Tensor:
    """A Gaussian's, one axis after the other; the border is reflected."""
    offsets = torch.arange(KERNEL_SIZE, device=images.device) - KERNEL_SIZE // 2
    weights = torch.exp(-(offsets**2) / (2 * SIGMA**2))
    weights = (weights / weights.sum()).to(images.dtype)
    channels, sides = images.shape[1], [KERNEL_SIZE // 2] * 4
    images = F.pad(images, sides, mode="reflect")
    rows = weights.view(1, 1, -1, 1).expand(channels, -1, -1, -1)
    columns = weights.view(1, 1, 1, -1).expand(channels, -1, -1, -1)
    return F.conv2d(F.conv2d(images, rows, groups=channels), columns, groups=channels)


@torch.no_grad()
def augment(images: Tensor, maps: Tensor, drawn: Draw, *, released: bool) -> Tensor:
    """Images [B, 3, H, W] whose drawn map [B, M, h, w] looks at a blurred one."""
    size = images.shape[2:]
    chosen = maps[torch.arange(len(maps), device=maps.device), drawn.chosen][:, None]
    weight = F.interpolate(chosen, size, mode="bilinear", align_corners=True)
    weight = weight / (weight.amax((2, 3), keepdim=True) + 1e-8)
    if drawn.threshold is not None and drawn.zoom is not None:
        floor = torch.sigmoid(-drawn.threshold * drawn.zoom)
        weight = (torch.sigmoid((weight - drawn.threshold) * drawn.zoom) - floor) / (1 - floor)
    small = [int(side * scale(released=released)) for side in size]
    degraded = blur(F.interpolate(images, small, mode="bilinear", align_corners=True))
    if drawn.noise is not None:
        degraded = degraded + drawn.noise
    degraded = F.interpolate(degraded, size, mode="bilinear", align_corners=True)
    return images * (1 - weight) + degraded * weight
