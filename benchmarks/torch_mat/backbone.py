"""EfficientNet in PyTorch, with every stage as an endpoint."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

# Of B0 … B7: width, depth, native size (pixels).
VARIANTS = {
    "efficientnet-b0": (1.0, 1.0, 224),
    "efficientnet-b1": (1.0, 1.1, 240),
    "efficientnet-b2": (1.1, 1.2, 260),
    "efficientnet-b3": (1.2, 1.4, 300),
    "efficientnet-b4": (1.4, 1.8, 380),
    "efficientnet-b5": (1.6, 2.2, 456),
    "efficientnet-b6": (1.8, 2.6, 528),
    "efficientnet-b7": (2.0, 3.1, 600),
}
# Of B0's seven stages: blocks, kernel size, stride, expansion, channels.
_STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)


class Padding(NamedTuple):
    """Zeros before and after an axis."""

    before: int
    after: int


def same(size: int, kernel_size: int, stride: int) -> Padding:
    """Of TensorFlow's SAME, which keeps ceil(size / stride)."""
    total = max((math.ceil(size / stride) - 1) * stride + kernel_size - size, 0)
    return Padding(total // 2, total - total // 2)


class Conv2d(nn.Conv2d):
    """Square convolution without bias; zeros of unequal sides are added in a step of their own."""

    def __init__(
        self, channels: int, features: int, kernel: int, stride: int, padding: Padding, groups: int
    ) -> None:
        before, after = padding
        equal = before if before == after else 0
        super().__init__(channels, features, kernel, stride, equal, groups=groups, bias=False)
        self.sides = None if before == after else [before, after, before, after]

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, features, H', W']."""
        return super().forward(x if self.sides is None else F.pad(x, self.sides))


def batch_norm(channels: int) -> nn.BatchNorm2d:
    """PyTorch's momentum is what is new."""
    return nn.BatchNorm2d(channels, eps=1e-3, momentum=0.01)


class MBConv(nn.Module):
    """Expand, depthwise, squeeze and excite, project, skip."""

    def __init__(
        self,
        channels: int,
        features: int,
        kernel: int,
        stride: int,
        expansion: int,
        padding: Padding,
        drop_rate: float,
    ) -> None:
        super().__init__()
        wide, none = channels * expansion, Padding(0, 0)
        self.expands, self.drop_rate = expansion != 1, drop_rate
        self.skips = stride == 1 and channels == features
        if self.expands:
            self._expand_conv = Conv2d(channels, wide, 1, 1, none, 1)
            self._bn0 = batch_norm(wide)
        self._depthwise_conv = Conv2d(wide, wide, kernel, stride, padding, wide)
        self._bn1 = batch_norm(wide)
        squeezed = max(1, int(channels * 0.25))
        self._se_reduce = nn.Conv2d(wide, squeezed, 1)
        self._se_expand = nn.Conv2d(squeezed, wide, 1)
        self._project_conv = Conv2d(wide, features, 1, 1, none, 1)
        self._bn2 = batch_norm(features)

    def forward(self, inputs: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, features, H', W']."""
        x = inputs
        if self.expands:
            x = F.silu(self._bn0(self._expand_conv(x)))
        x = F.silu(self._bn1(self._depthwise_conv(x)))
        squeezed = F.silu(self._se_reduce(F.adaptive_avg_pool2d(x, 1)))
        x = x * torch.sigmoid(self._se_expand(squeezed))
        x = self._bn2(self._project_conv(x))
        if not self.skips:
            return x
        return inputs + (drop_path(x, self.drop_rate) if self.training else x)


def drop_path(x: Tensor, rate: float) -> Tensor:
    """Stochastic depth: leaves whole samples out, and divides the others by 1 − rate."""
    if rate == 0:
        return x
    kept = torch.rand(len(x), 1, 1, 1, dtype=x.dtype, device=x.device) >= rate
    return x * kept / (1 - rate)


class EfficientNet(nn.Module):
    """Images [B, 3, H, W] -> {"b0", …, "b7", "final"}: stem, stages, head.

    Args:
      width, depth: compound scaling.
      image_size: of what it sees: its convolutions' zeros are fixed by it.
      nominal_size: each layer's zeros are those of an image of this size instead.
      drop_rate: of stochastic depth, which grows from 0 to this.
    """

    def __init__(
        self,
        width: float,
        depth: float,
        image_size: int,
        nominal_size: int | None,
        drop_rate: float = 0.2,
    ) -> None:
        super().__init__()
        self.channels = {"b0": _scaled(32, width)}
        padding, size = _paddings(nominal_size), image_size
        self._conv_stem = Conv2d(3, self.channels["b0"], 3, 2, padding(size, 3, 2), 1)
        self._bn0 = batch_norm(self.channels["b0"])
        size, channels = math.ceil(size / 2), self.channels["b0"]
        counts = [math.ceil(repeats * depth) for repeats, *_ in _STAGES]
        self._blocks = nn.ModuleList()
        self.ends: dict[int, str] = {}
        for i, (_, kernel, stage_stride, expansion, wanted) in enumerate(_STAGES):
            features = _scaled(wanted, width)
            for repeat in range(counts[i]):
                stride = stage_stride if repeat == 0 else 1
                rate = drop_rate * len(self._blocks) / sum(counts)
                zeros = padding(size, kernel, stride)
                self._blocks.append(
                    MBConv(channels, features, kernel, stride, expansion, zeros, rate)
                )
                channels, size = features, math.ceil(size / stride)
            self.ends[len(self._blocks) - 1] = f"b{i + 1}"
            self.channels[f"b{i + 1}"] = channels
        self.channels["final"] = _scaled(1280, width)
        self._conv_head = Conv2d(channels, self.channels["final"], 1, 1, Padding(0, 0), 1)
        self._bn1 = batch_norm(self.channels["final"])

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """See the class."""
        x = F.silu(self._bn0(self._conv_stem(images)))
        endpoints = {"b0": x}
        for index, block in enumerate(self._blocks):
            x = block(x)
            if index in self.ends:
                endpoints[self.ends[index]] = x
        return endpoints | {"final": F.silu(self._bn1(self._conv_head(x)))}


def _paddings(nominal_size: int | None) -> Callable[[int, int, int], Padding]:
    def padding(size: int, kernel: int, stride: int) -> Padding:
        return same(nominal_size or size, kernel, stride)

    return padding


def _scaled(channels: int, width: float) -> int:
    """To the nearest multiple of 8, losing at most a tenth."""
    wanted = channels * width
    rounded = max(8, int(wanted + 4) // 8 * 8)
    return rounded if rounded >= 0.9 * wanted else rounded + 8
