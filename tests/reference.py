"""The paper's equations as slow, obvious NumPy in float64: what the tests compare with.

Everything here is loops over indices, written from the definitions and sharing no code with the
library. Arrays are [B, H, W, C]; `params` and `stats` are nested dicts as the modules name them.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

Array = np.ndarray


def padding(n: int, kernel: int, stride: int, nominal: int | None = None) -> tuple[int, int]:
    """SAME padding of one axis, computed from `nominal` where given."""
    s = n if nominal is None else nominal
    total = max((math.ceil(s / stride) - 1) * stride + kernel - s, 0)
    return total // 2, total - total // 2


def conv(
    x: Array, kernel: Array, bias: Any = None, *, stride: int = 1, groups: int = 1, pad: Any = None
) -> Array:
    """Convolution with a kernel [k, k, C_in / groups, C_out]; `pad` None is SAME."""
    k, _, group_in, channels_out = kernel.shape
    group_out = channels_out // groups
    pad = pad or (padding(x.shape[1], k, stride), padding(x.shape[2], k, stride))
    x = np.pad(np.asarray(x, np.float64), ((0, 0), *pad, (0, 0)))
    height, width = ((n - k) // stride + 1 for n in x.shape[1:3])
    y = np.zeros((x.shape[0], height, width, channels_out))
    for i in range(height):
        for j in range(width):
            window = x[:, i * stride : i * stride + k, j * stride : j * stride + k]
            for g in range(groups):
                ins = slice(g * group_in, (g + 1) * group_in)
                outs = slice(g * group_out, (g + 1) * group_out)
                y[:, i, j, outs] = np.tensordot(window[..., ins], kernel[..., outs], 3)
    return y if bias is None else y + bias


def depthwise(x: Array, kernel: Array, *, stride: int = 1, pad: Any = None) -> Array:
    """Each channel with its own filter: kernel [k, k, C]."""
    return conv(x, kernel[:, :, None, :], stride=stride, groups=x.shape[-1], pad=pad)


def relu(x: Array) -> Array:
    return np.maximum(x, 0)


def gelu(x: Array) -> Array:
    return x * (1 + np.vectorize(math.erf)(np.asarray(x, np.float64) / math.sqrt(2))) / 2


def layer_norm(x: Array, params: dict, epsilon: float = 1e-6) -> Array:
    """Over the last axis."""
    centered = x - x.mean(-1, keepdims=True)
    spread = np.sqrt((centered**2).mean(-1, keepdims=True) + epsilon)
    return centered / spread * params["scale"] + params["bias"]


def sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-np.asarray(x, np.float64)))


def swish(x: Array) -> Array:
    return x * sigmoid(x)


def hard_swish(x: Array) -> Array:
    return x * np.clip(x + 3, 0, 6) / 6


def batch_norm(x: Array, params: dict, stats: dict | None, epsilon: float = 1e-5) -> Array:
    """With running statistics, or with the batch's own (biased variance) where `stats` is None."""
    if stats is None:
        stats = {"mean": x.mean((0, 1, 2)), "var": x.var((0, 1, 2))}
    return (x - stats["mean"]) / np.sqrt(stats["var"] + epsilon) * params["scale"] + params["bias"]


class Scope:
    """Applies a module's own layers by name, in training (batch statistics) or evaluation."""

    def __init__(self, params: dict, stats: dict | None, epsilon: float = 1e-5) -> None:
        self.params, self.stats, self.epsilon = params, stats, epsilon

    def child(self, name: str) -> Scope:
        stats = None if self.stats is None else self.stats.get(name, {})
        return Scope(self.params[name], stats, self.epsilon)

    def conv(self, x: Array, name: str, **options: Any) -> Array:
        return conv(x, self.params[name]["kernel"], self.params[name].get("bias"), **options)

    def depthwise(self, x: Array, name: str, **options: Any) -> Array:
        return depthwise(x, self.params[name]["kernel"], **options)

    def norm(self, x: Array, name: str) -> Array:
        stats = None if self.stats is None else self.stats[name]
        return batch_norm(x, self.params[name], stats, self.epsilon)

    def dense(self, x: Array, name: str) -> Array:
        return x @ np.asarray(self.params[name]["kernel"], np.float64) + self.params[name]["bias"]


def mbconv(x: Array, scope: Scope, *, stride: int, pad: Any = None) -> Array:
    """EfficientNet's block in evaluation or without stochastic depth."""
    y = x
    if "expand_conv" in scope.params:
        y = swish(scope.norm(scope.conv(y, "expand_conv"), "expand_bn"))
    y = scope.depthwise(y, "depthwise_conv", stride=stride, pad=pad)
    y = swish(scope.norm(y, "depthwise_bn"))
    gate, se = y.mean((1, 2), keepdims=True), scope.child("se")
    y = y * sigmoid(se.conv(swish(se.conv(gate, "reduce")), "expand"))
    y = scope.norm(scope.conv(y, "project_conv"), "project_bn")
    return x + y if stride == 1 and x.shape == y.shape else y


def max_pool(x: Array, pad: Any) -> Array:
    """3×3, stride 2."""
    x = np.pad(x, ((0, 0), *pad, (0, 0)), constant_values=-np.inf)
    height, width = ((n - 3) // 2 + 1 for n in x.shape[1:3])
    rows = [
        [x[:, 2 * i : 2 * i + 3, 2 * j : 2 * j + 3].max((1, 2)) for j in range(width)]
        for i in range(height)
    ]
    return np.moveaxis(np.asarray(rows), 2, 0)


def xception_block(
    x: Array, scope: Scope, *, convs: int, stride: int, starts_with_relu: bool
) -> Any:
    skip, y = x, x
    if "skip_conv" in scope.params:
        skip = scope.norm(scope.conv(x, "skip_conv", stride=stride), "skip_bn")
    for i in range(convs):
        y = relu(y) if i > 0 or starts_with_relu else y
        inner = scope.child(f"conv_{i}")
        y = inner.depthwise(y, "depthwise", pad=((1, 1), (1, 1)))
        y = scope.norm(inner.conv(y, "pointwise"), f"bn_{i}")
    return skip + (max_pool(y, ((1, 1), (1, 1))) if stride == 2 else y)


def resize_bilinear(x: Array, size: tuple[int, int]) -> Array:
    """Aligned corners: first and last samples coincide."""
    x = np.asarray(x, np.float64)
    y = np.zeros((x.shape[0], *size, x.shape[3]))

    def place(i: Any, n_out: Any, n_in: Any) -> Any:
        position = i * (n_in - 1) / (n_out - 1) if n_out > 1 else 0.0
        low = min(int(position), n_in - 1)
        return low, min(low + 1, n_in - 1), position - low

    for i in range(size[0]):
        top, bottom, v = place(i, size[0], x.shape[1])
        for j in range(size[1]):
            left, right, u = place(j, size[1], x.shape[2])
            above = (1 - u) * x[:, top, left] + u * x[:, top, right]
            below = (1 - u) * x[:, bottom, left] + u * x[:, bottom, right]
            y[:, i, j] = (1 - v) * above + v * below
    return y


def adaptive_average_pool(x: Array, size: tuple[int, int]) -> Array:
    """Bin i covers floor(i·H/h) to ceil((i+1)·H/h)."""
    x = np.asarray(x, np.float64)
    (height, width), (h, w) = x.shape[1:3], size
    y = np.zeros((x.shape[0], h, w, x.shape[3]))
    for i in range(h):
        rows = slice(math.floor(i * height / h), math.ceil((i + 1) * height / h))
        for j in range(w):
            cols = slice(math.floor(j * width / w), math.ceil((j + 1) * width / w))
            y[:, i, j] = x[:, rows, cols].mean((1, 2))
    return y


def resize_nearest(x: Array, size: tuple[int, int]) -> Array:
    """Output i takes source floor(i·n_in/n_out)."""
    rows = [math.floor(i * x.shape[1] / size[0]) for i in range(size[0])]
    cols = [math.floor(j * x.shape[2] / size[1]) for j in range(size[1])]
    return x[:, rows][:, :, cols]


def border_mask(size: tuple[int, int]) -> Array:
    mask = np.zeros((1, 24, 24, 1))
    mask[:, 2:22, 2:22] = 1
    return resize_nearest(mask, size)


def attention(x: Array, scope: Scope, version: str) -> Array:
    if version == "paper":
        return relu(scope.norm(scope.conv(x, "project_conv"), "project_bn"))
    x = relu(scope.norm(scope.conv(x, "extract_conv"), "extract_bn"))
    x = scope.norm(scope.conv(x, "project_conv"), "project_bn")
    return (np.where(x > 0, x, np.expm1(x)) + 1) * border_mask(x.shape[1:3])


def normalize(v: Array) -> Array:
    """Rows over max(‖row‖₂, 1e-12)."""
    return v / np.maximum(np.sqrt((v * v).sum(-1, keepdims=True)), 1e-12)


def attention_sums(features: Array, maps: Array) -> Array:
    """s_k = Σ_{m,n} A_k(m, n)·F(m, n), F shared by the maps or [B, H, W, M, C]."""
    batch, height, width = features.shape[:3]
    maps = resize_bilinear(maps, (height, width))
    sums = np.zeros((batch, maps.shape[-1], features.shape[-1]))
    for k in range(maps.shape[-1]):
        own = features if features.ndim == 4 else features[:, :, :, k]
        for m in range(height):
            for n in range(width):
                sums[:, k] += maps[:, m, n, k, None] * own[:, m, n]
    return sums


def bap(features: Array, maps: Array) -> Array:
    """Eq. 2."""
    return normalize(attention_sums(features, maps))


def weighted_average(features: Array, maps: Array) -> Array:
    weights = resize_bilinear(maps, features.shape[1:3]) + 1e-8
    return attention_sums(features, weights) / weights.sum((1, 2))[:, :, None]


def standardize(x: Array) -> Array:
    """Minus the mean, over unbiased deviation + 1e-8, a sample and channel."""
    deviation = x.std((1, 2), keepdims=True, ddof=1)
    return (x - x.mean((1, 2), keepdims=True)) / (deviation + 1e-8)


def residual(features: Array, size: tuple[int, int]) -> tuple[Array, Array]:
    """Eq. 1: D and T = f − up(D), where D is smaller."""
    pooled = adaptive_average_pool(features, size)
    if size[0] >= features.shape[1]:
        return pooled, np.asarray(features, np.float64)
    return pooled, features - resize_nearest(pooled, features.shape[1:3])


def dense_block(x: Array, scope: Scope) -> Array:
    parts = [x]
    for i in (1, 2, 3):
        y = relu(scope.norm(np.concatenate(parts, -1), f"bn{i}"))
        parts.append(scope.conv(y, f"conv{i}"))
    return np.concatenate(parts, -1)


def _one_map(tree: dict, k: int, maps: int) -> dict:
    """Map k's share of parameters that lie map after map along their last axis."""
    return {
        name: _one_map(leaf, k, maps)
        if isinstance(leaf, dict)
        else np.split(np.asarray(leaf), maps, axis=-1)[k]
        for name, leaf in tree.items()
    }


def texture(features: Array, maps: Array, scope: Scope, version: str) -> tuple[Array, Array]:
    """F and D. Version "v2" runs a network of its own for every map."""
    if version == "v2":
        features = scope.conv(features, "extract_conv")
    pooled, x = residual(features, maps.shape[1:3])
    if version == "paper":
        return dense_block(x, scope.child("dense")), pooled
    if version == "v1":
        x = dense_block(scope.conv(x, "input_conv"), scope.child("dense"))
        x = scope.conv(relu(scope.norm(x, "dense_bn")), "output_conv")
        return scope.norm(x, "output_bn"), pooled
    weights, count = np.tanh(resize_bilinear(maps, x.shape[1:3])), maps.shape[-1]
    params = {name: leaf for name, leaf in scope.params.items() if name != "extract_conv"}
    outputs = []
    for k in range(count):
        stats = None if scope.stats is None else _one_map(scope.stats, k, count)
        own = Scope(_one_map(params, k, count), stats)
        y = dense_block(own.conv(x * weights[..., k, None], "input_conv"), own.child("dense"))
        y = own.conv(relu(own.norm(y, "dense_bn")), "output_conv")
        outputs.append(relu(own.norm(y, "output_bn")))
    return np.stack(outputs, axis=3), pooled


def head(matrix: Array, global_feature: Array, scope: Scope) -> Array:
    x = matrix.reshape(len(matrix), -1)
    x = hard_swish(scope.dense(hard_swish(scope.dense(x, "local_1")), "local_2"))
    g = hard_swish(scope.dense(global_feature, "global"))
    return scope.dense(hard_swish(scope.dense(np.concatenate([x, g], -1), "ensemble")), "logits")


def forward(
    stages: dict[str, Array],
    variables: dict,
    recipe: str,
    *,
    train: bool,
    texture_version: str | None = None,
) -> dict[str, Array]:
    """The network behind the backbone, without dropout; stages "texture", "attention", "final"."""
    stats = None if train else variables["batch_stats"]
    scope = Scope(variables["params"], stats)
    paper = recipe == "paper"
    maps = attention(stages["attention"], scope.child("attention"), recipe)
    version = texture_version or ("paper" if paper else "v2")
    features, pooled = texture(stages["texture"], maps, scope.child("texture"), version)
    summed = maps.sum(-1, keepdims=True)
    matrix = bap(features, maps)
    pool = bap if paper else weighted_average
    global_feature = pool(stages["final"], summed)[:, 0]
    return {
        "texture_features": features,
        "pooled": pooled,
        "attention_maps": maps,
        "texture_matrix": matrix,
        "global_feature": global_feature,
        "region_features": bap(pooled if paper else standardize(pooled), maps),
        "logits": head(matrix, global_feature, scope.child("head")),
    }
