"""Losses, center update and AGDA as slow, obvious NumPy in float64 (see `reference`)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from reference import Array, resize_bilinear, sigmoid


def norm(x: Array) -> float:
    return math.sqrt(float((np.asarray(x, np.float64) ** 2).sum()))


def cross_entropy(logits: Array, labels: Array, smoothing: float = 0.0) -> Array:
    losses = []
    for row, label in zip(np.asarray(logits, np.float64), labels, strict=True):
        log_p = row - math.log(np.exp(row).sum())
        q = np.full(len(row), smoothing / len(row))
        q[label] += 1 - smoothing
        losses.append(-(q * log_p).sum())
    return np.asarray(losses)


def update_centers(
    centers: Array, v: Array, labels: Array, rate: float, real_only: bool = False
) -> Array:
    """Eq. 4; with `real_only`, c + α·mean_i(1[y_i = 0]·(V^i − c))."""
    if not real_only:
        return centers - rate * (centers - v.mean(0))
    pull = np.zeros_like(centers)
    for sample, label in zip(v, labels, strict=True):
        if label == 0:
            pull += sample - centers
    return centers + rate * pull / len(v)


def ril_intra(v: Array, centers: Array, labels: Array, m_in: Any, version: str) -> Array:
    """First term of eq. 3, a sample."""
    losses = []
    for sample, label in zip(v, labels, strict=True):
        margin = m_in[label]
        distances = [norm(row - center) for row, center in zip(sample, centers, strict=True)]
        if version == "paper":
            loss = sum(max(d**2 - margin, 0) for d in distances)
        elif version == "v1":
            loss = sum(max(d - margin, 0) for d in distances) / len(distances)
        else:
            loss = max(norm(sample - centers) * math.copysign(1, margin) - margin, 0)
        losses.append(loss)
    return np.asarray(losses)


def ril_inter(centers: Array, m_out: float, rate: float, version: str) -> float:
    """Second term of eq. 3."""
    maps, total = len(centers), 0.0
    for i in range(maps):
        for j in range(maps):
            distance = norm(centers[i] - centers[j])
            if version == "paper" and i != j:
                total += max(m_out - distance**2, 0)
            if version != "paper" and i < j:
                total += max(m_out - distance, 0)
    return total / maps / rate if version == "v2" else total


def ril(
    v: Any, centers: Any, labels: Any, *, m_in: Any, m_out: Any, rate: Any, version: Any
) -> float:
    """Both terms at the updated centers, the mean over the batch."""
    centers = update_centers(centers, v, labels, rate, real_only=version == "v2")
    intra = ril_intra(v, centers, labels, m_in, version).mean()
    return float(intra) + ril_inter(centers, m_out, rate, version)


def ams(v: Array, class_centers: Array, scale: float, margin: float) -> Array:
    """−log softmax of s·cosine with s·(cosine − m) for the own class, the mean over maps."""
    losses = []
    for sample in v:
        total = 0.0
        for j, row in enumerate(sample):
            cosines = [row @ c / norm(row) / norm(c) for c in class_centers]
            own = math.exp(scale * (cosines[j] - margin))
            others = sum(math.exp(scale * c) for i, c in enumerate(cosines) if i != j)
            total -= math.log(own / (own + others))
        losses.append(total / len(sample))
    return np.asarray(losses)


def match(augmented: Array, original: Array, dropped: Array) -> Array:
    losses = []
    for new, old, k in zip(augmented, original, dropped, strict=True):
        distances = [norm(a - b) for a, b in zip(new, old, strict=True)]
        losses.append(sum(d for i, d in enumerate(distances) if i != k) / len(distances))
    return np.asarray(losses)


def salience(maps: Array, index: Array, size: tuple[int, int]) -> Array:
    """A*_k: [B, H, W, 1]."""
    chosen = np.stack([sample[..., k] for sample, k in zip(maps, index, strict=True)])
    resized = resize_bilinear(chosen[..., None], size)
    return resized / (resized.max((1, 2), keepdims=True) + 1e-8)


def reflect(i: int, n: int) -> int:
    """Index i of an axis of n, mirrored at its first and last sample."""
    if i < 0:
        i = -i
    return i if i < n else 2 * (n - 1) - i


def blur(images: Array, kernel_size: int, sigma_of: Any) -> Array:
    """A 2-D Gaussian of `sigma_of(b, i, j)` pixels around every pixel, its border reflected."""
    half, result = kernel_size // 2, np.zeros(images.shape)
    batch, height, width = images.shape[:3]
    for b in range(batch):
        for i in range(height):
            for j in range(width):
                total, weights = 0.0, 0.0
                for u in range(-half, half + 1):
                    for v in range(-half, half + 1):
                        weight = math.exp(-(u * u + v * v) / (2 * sigma_of(b, i, j) ** 2))
                        pixel = images[b, reflect(i + u, height), reflect(j + v, width)]
                        total, weights = total + weight * pixel, weights + weight
                result[b, i, j] = total / weights
    return result


def degrade(images: Array, scale: float, kernel_size: int, sigma: float) -> Array:
    """I_d without noise."""
    size = tuple(math.floor(scale * n) for n in images.shape[1:3])
    small = blur(resize_bilinear(images, size), kernel_size, lambda *_: sigma)
    return resize_bilinear(small, images.shape[1:3])


def soft(images: Array, degraded: Array, weight: Array) -> Array:
    """Eq. 6."""
    return images * (1 - weight) + degraded * weight


def hard(images: Array, weight: Array, threshold: float) -> Array:
    """Eq. 7."""
    return images * np.where(weight > threshold, 0, 1)


def released_weight(x: Array, t: float, z: float) -> Array:
    return (sigmoid((x - t) * z) - sigmoid(-t * z)) / (1 - sigmoid(-t * z))


def weighted_choice(maps: Array) -> Array:
    weights = np.sqrt(maps.sum((1, 2)) + 1)
    return weights / weights.sum(-1, keepdims=True)
