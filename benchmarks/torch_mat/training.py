"""What the PyTorch peer trains with: the losses of both passes, and the optimiser."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.torch_mat import agda
from benchmarks.torch_mat.losses import match
from benchmarks.torch_mat.network import MAT

CENTER_RATE = 0.05


def normalized(pixels: Tensor) -> Tensor:
    """uint8 -> −1 … 1."""
    return pixels.float() / 127.5 - 1


def total_loss(
    model: MAT, images: Tensor, labels: Tensor, drawn: agda.Draw | None = None
) -> tuple[Tensor, dict[str, Tensor]]:
    """Of a batch's pass and of the pass of what its attention maps make of it.

    Args:
      model: in training mode.
      images: [B, 3, H, W], normalised.
      labels: [B], 0 real, 1 fake.
      drawn: the augmentation's; drawn here where None.

    Returns:
      The total, and its parts.
    """
    released = model.released
    out = model(images)
    ril = model.auxiliary_loss
    centers = ril.move(out.region_features, labels, CENTER_RATE)
    parts = {
        "cross_entropy": F.cross_entropy(out.logits, labels),
        "ril": ril(out.region_features, centers, labels, CENTER_RATE),
    }
    with torch.no_grad():
        drawn = drawn or agda.draw(images, out.attention_maps, released=released)
    augmented = agda.augment(images, out.attention_maps, drawn, released=released)
    second = model(augmented)
    parts["augmented_cross_entropy"] = F.cross_entropy(second.logits, labels)
    total = parts["cross_entropy"] + parts["augmented_cross_entropy"]
    total = total + (0.5 if released else 1.0) * parts["ril"]
    if released:
        ril.move(second.region_features.detach(), labels, CENTER_RATE)
        parts["match"] = match(second.region_features, out.region_features, drawn.chosen)
        total = total + 0.1 * parts["match"]
    return total, parts


def optimizer(model: MAT) -> torch.optim.Optimizer:
    """The recipe's."""
    adam = torch.optim.AdamW if model.released else torch.optim.Adam
    rate = 1e-4 if model.released else 1e-3
    return adam(model.parameters(), lr=rate, weight_decay=1e-6, fused=True)
