"""MAT's network in PyTorch, both recipes."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.torch_mat.backbone import VARIANTS, EfficientNet
from benchmarks.torch_mat.losses import RegionalIndependence


class Output(NamedTuple):
    """A [B, M, h, w], P [B, M, C_F], G [B, C], V [B, M, N] and the logits [B, 2]."""

    logits: Tensor
    attention_maps: Tensor
    texture_matrix: Tensor
    global_feature: Tensor
    region_features: Tensor


def upsample(x: Tensor, size: torch.Size) -> Tensor:
    """Bilinear, the corners aligned: [B, C, h, w] -> [B, C, *size]."""
    return F.interpolate(x, size, mode="bilinear", align_corners=True)


class Attention(nn.Module):
    """Deep features [B, C, h, w] -> attention maps [B, M, h, w]."""

    mask: Tensor

    def __init__(self, channels: int, maps: int, *, released: bool) -> None:
        super().__init__()
        self.released = released
        if released:
            self.conv_extract = nn.Conv2d(channels, channels, 3, padding=1)
            self.bn1 = nn.BatchNorm2d(channels)
            mask = F.pad(torch.ones(1, 1, 20, 20), (2, 2, 2, 2))
            self.register_buffer("mask", mask)
        self.conv2 = nn.Conv2d(channels, maps, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(maps)

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        if not self.released:
            return F.relu(self.bn2(self.conv2(x)))
        x = F.relu(self.bn1(self.conv_extract(x)))
        x = F.elu(self.bn2(self.conv2(x))) + 1
        return x * F.interpolate(self.mask, x.shape[2:], mode="nearest")


class Texture(nn.Module):
    """Shallow features [B, C, H, W] and maps -> F [B, features, H, W] and D [B, C, h, w].

    In the released recipe F's channels are of one map after the other.
    """

    def __init__(self, channels: int, maps: int, *, released: bool) -> None:
        super().__init__()
        self.released, self.groups = released, maps if released else 1
        wide, groups = channels * self.groups, self.groups
        if released:
            self.conv_extract = nn.Conv2d(channels, channels, 3, padding=1)
            self.conv0 = nn.Conv2d(wide, wide, 5, padding=2, groups=groups)
        for i in (1, 2, 3):
            self.add_module(f"bn{i}", nn.BatchNorm2d(i * wide))
            conv = nn.Conv2d(i * wide, wide, 3, padding=1, groups=groups)
            self.add_module(f"conv{i}", conv)
        if released:
            self.bn4 = nn.BatchNorm2d(4 * wide)
            self.conv_last = nn.Conv2d(4 * wide, wide, 1, groups=groups)
            self.bn_last = nn.BatchNorm2d(wide)

    def forward(self, features: Tensor, attention_maps: Tensor) -> tuple[Tensor, Tensor]:
        """See the class."""
        if self.released:
            features = self.conv_extract(features)
        size, small = features.shape[2:], attention_maps.shape[2:]
        pooled = F.adaptive_avg_pool2d(features, (small[0], small[1]))
        texture = features
        if small[0] < size[0] or small[1] < size[1]:
            texture = features - F.interpolate(pooled, size, mode="nearest")
        if not self.released:
            return self._dense(texture), pooled
        weights = torch.tanh(upsample(attention_maps.detach(), size))
        x = torch.cat([texture * weight for weight in weights.split(1, dim=1)], dim=1)
        x = F.relu(self.bn4(self._dense(self.conv0(x))))
        return F.relu(self.bn_last(self.conv_last(x))), pooled

    def _dense(self, x: Tensor) -> Tensor:
        parts = [x]
        for i in (1, 2, 3):
            norm, conv = getattr(self, f"bn{i}"), getattr(self, f"conv{i}")
            parts.append(conv(F.relu(norm(self._joined(parts)))))
        return self._joined(parts)

    def _joined(self, parts: list[Tensor]) -> Tensor:
        """Side by side within each group."""
        if self.groups == 1:
            return torch.cat(parts, dim=1)
        groups = zip(*(part.chunk(self.groups, dim=1) for part in parts), strict=True)
        return torch.cat([part for group in groups for part in group], dim=1)


def attention_pool(features: Tensor, maps: Tensor) -> Tensor:
    """Sums over space of features weighted by each map, of length 1: [B, M, C].

    Args:
      features: [B, C, H, W], or [B, M, C, H, W] with each map's own.
      maps: [B, M, h, w].
    """
    maps = upsample(maps, features.shape[-2:])
    shared = "bmhw,bchw->bmc"
    sums = torch.einsum(shared if features.ndim == 4 else "bmhw,bmchw->bmc", maps, features)
    return F.normalize(sums, dim=-1, eps=1e-12)


def weighted_average(features: Tensor, weights: Tensor) -> Tensor:
    """Over space: [B, C, H, W] by [B, 1, h, w] -> [B, C]."""
    weights = upsample(weights, features.shape[2:]) + 1e-8
    return (features * weights).sum((2, 3)) / weights.sum((2, 3))


def standardized(x: Tensor) -> Tensor:
    """Without the mean over space, and divided by the deviation: [B, C, h, w]."""
    deviation = x.std((2, 3), keepdim=True)
    return (x - x.mean((2, 3), keepdim=True)) / (deviation + 1e-8)


class MAT(nn.Module):
    """The multi-attentional network for images of one size.

    Args:
      recipe: "paper" or "released".
      backbone: "efficientnet-b0" … "efficientnet-b7".
      image_size: pixels.
      maps: M.
      width, depth: in place of the backbone's own.
      mid_dims: width of the classifier.
      drops: stochastic depth and the released recipe's dropout are on.
    """

    def __init__(
        self,
        recipe: str,
        backbone: str,
        image_size: int,
        *,
        maps: int = 4,
        width: float | None = None,
        depth: float | None = None,
        mid_dims: int = 256,
        drops: bool = True,
    ) -> None:
        super().__init__()
        self.released = released = recipe == "released"
        own_width, own_depth, native = VARIANTS[backbone]
        self.net = EfficientNet(
            width or own_width,
            depth or own_depth,
            image_size,
            native if released else None,
            0.2 if drops else 0.0,
        )
        channels = self.net.channels
        self.attentions = Attention(channels["b5"], maps, released=released)
        self.texture_enhance = Texture(channels["b2"], maps, released=released)
        textures = channels["b2"] * (1 if released else 4)
        self.projection_local = nn.Sequential(
            nn.Linear(maps * textures, mid_dims),
            nn.Hardswish(),
            nn.Linear(mid_dims, mid_dims),
            nn.Hardswish(),
        )
        self.project_final = nn.Linear(channels["final"], mid_dims)
        self.ensemble_classifier_fc = nn.Sequential(
            nn.Linear(2 * mid_dims, mid_dims), nn.Hardswish(), nn.Linear(mid_dims, 2)
        )
        self.auxiliary_loss = RegionalIndependence(maps, channels["b2"], released=released)
        self.maps, self.drops = maps, drops and released

    def forward(self, images: Tensor) -> Output:
        """[B, 3, H, W], normalised."""
        stages = self.net(images)
        attention_maps = self.attentions(stages["b5"])
        texture, pooled = self.texture_enhance(stages["b2"], attention_maps)
        if self.released:
            texture, pooled = texture.unflatten(1, (self.maps, -1)), standardized(pooled)
        regions = attention_pool(pooled, attention_maps)
        kept = torch.ones(attention_maps.shape[:2], device=images.device)
        if self.drops:
            kept = F.dropout(kept, 0.25, self.training)
        matrix = attention_pool(texture, attention_maps) * kept[:, :, None]
        summed = (attention_maps * kept[:, :, None, None]).sum(1, keepdim=True)
        if self.released:
            final = weighted_average(stages["final"], summed)
        else:
            final = attention_pool(stages["final"], summed)[:, 0]
        if self.drops:
            final = F.dropout(final, 0.5, self.training)
        parts = self.projection_local(matrix.flatten(1)), F.hardswish(self.project_final(final))
        logits = self.ensemble_classifier_fc(torch.cat(parts, dim=1))
        return Output(logits, attention_maps, matrix, final, regions)
