"""MAT's losses beside the cross entropy, in PyTorch."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class RegionalIndependence(nn.Module):
    """The regional independence loss, and the centers c that move with each batch."""

    feature_centers: Tensor

    def __init__(self, maps: int, features: int, *, released: bool) -> None:
        super().__init__()
        self.released = released
        self.register_buffer("feature_centers", torch.zeros(maps, features))

    def move(self, regions: Tensor, labels: Tensor, rate: float) -> Tensor:
        """The centers c^t [M, N] by V [B, M, N], with the gradient to V; their value is kept."""
        pulls = regions - self.feature_centers
        if self.released:  # only real samples pull
            pulls = pulls * (labels == 0).to(pulls.dtype)[:, None, None]
        moved = self.feature_centers + rate * pulls.mean(0)
        self.feature_centers.copy_(moved.detach())
        return moved

    def forward(self, regions: Tensor, centers: Tensor, labels: Tensor, rate: float) -> Tensor:
        """A scalar, by V and centers that have moved to it."""
        offsets = regions - centers
        maps = len(centers)
        first, second = torch.triu_indices(maps, maps, offset=1, device=centers.device)
        apart = centers[first] - centers[second]
        if self.released:
            margin = regions.new_tensor((0.1, -2.0))[labels]
            inner = (offsets.flatten(1).norm(dim=1) * margin.sign() - margin).relu().mean()
            outer = (0.5 - apart.norm(dim=1)).relu().sum() / len(centers) / rate
        else:
            margin = regions.new_tensor((0.05, 0.1))[labels]
            inner = (offsets.square().sum(2) - margin[:, None]).relu().sum(1).mean()
            outer = 2 * (0.2 - apart.square().sum(1)).relu().sum()
        return inner + outer


def match(augmented: Tensor, original: Tensor, index: Tensor) -> Tensor:
    """How far V [B, M, N] has moved on the maps that were not augmented by: a scalar."""
    distances = (augmented - original).norm(dim=2)
    others = torch.ones_like(distances).scatter(1, index[:, None], 0.0)
    return (distances * others).mean()
