"""Attention-guided data augmentation (section 3.4 of the paper), pure and jittable.

All values are in the network's normalised units, so the hard mode's 0 is mid-grey.
"""

from __future__ import annotations

import dataclasses
from typing import Annotated, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from matnet_jax.detectors.fields import NOT_NEGATIVE, POSITIVE, Range, check_values
from matnet_jax.nn.resize import Size, resize_bilinear

_THRESHOLDS = Range(lambda v: len(v) == 2 and 0 <= v[0] <= v[1] <= 1, "two of 0 to 1, rising")
_SLOPES = Range(lambda v: len(v) == 2 and 0 < v[0] <= v[1], "two above 0, rising")


@dataclasses.dataclass(frozen=True)
class AGDAOptions:
    """How images are degraded; the defaults are the paper's.

    Attributes:
      mode: "soft" blends in the degraded image (eq. 6), "hard" erases (eq. 7), "mix" draws one of
        the two a batch, "pointwise" blurs each pixel with its own width, "none" is off.
      scale: the degraded image is blurred at floor(scale · size).
      kernel_size: the blur's, in pixels of the small image; its border is reflected.
      sigma: the blur's, in pixels of the small image.
      noise: standard deviation of Gaussian noise on the small blurred image.
      threshold: range of θ_d, drawn uniformly once a batch.
      zoom: range of the slope z of the released code's weight function, drawn once a batch; None
        weighs by the attention map itself, as eq. 6 does.
      choice: the map is drawn "uniform"-ly or "weighted" by √(ΣA_k + 1).
    """

    mode: Literal["soft", "hard", "mix", "pointwise", "none"] = "soft"
    scale: Annotated[float, Range(lambda v: 0 < v <= 1, "above 0, at most 1")] = 0.3
    kernel_size: Annotated[int, Range(lambda v: v >= 1 and v % 2 == 1, "odd, at least 1")] = 11
    sigma: Annotated[float, POSITIVE] = 7.0
    noise: Annotated[float, NOT_NEGATIVE] = 0.0
    threshold: Annotated[tuple[float, float], _THRESHOLDS] = (0.5, 0.5)
    zoom: Annotated[tuple[float, float] | None, _SLOPES] = None
    choice: Literal["uniform", "weighted"] = "uniform"

    def __post_init__(self) -> None:
        check_values(type(self), vars(self))


RELEASED = AGDAOptions(
    scale=0.5, noise=0.1, threshold=(0.4, 0.6), zoom=(3.0, 5.0), choice="weighted"
)
"""The released code's defaults."""


class AGDAResult(NamedTuple):
    """images: [B, H, W, 3] augmented; map_index: [B] int32, the map used on each sample."""

    images: jax.Array
    map_index: jax.Array


def augment(
    key: jax.Array, images: jax.Array, attention_maps: jax.Array, options: AGDAOptions
) -> AGDAResult:
    """Degrades what one attention map a sample looks at. No gradient flows through.

    Args:
      key: PRNG key.
      images: [B, H, W, 3] normalised.
      attention_maps: A, [B, h, w, M], not negative.
      options: see `AGDAOptions`.

    Raises:
      ValueError: the small image is too small for the blur's reflected border.
    """
    images, attention_maps = lax.stop_gradient((images, attention_maps))
    index_key, threshold_key, zoom_key, noise_key, mix_key = jax.random.split(key, 5)
    map_index = choose_map(index_key, attention_maps, options.choice)
    if options.mode == "none":
        return AGDAResult(images, map_index)
    salience = augmentation_map(attention_maps, map_index, images.shape[1:3])
    threshold = jax.random.uniform(
        threshold_key, minval=options.threshold[0], maxval=options.threshold[1]
    )
    if options.mode == "hard":
        return AGDAResult(hard_drop(images, salience, threshold), map_index)
    weight = salience
    if options.zoom is not None:
        zoom = jax.random.uniform(zoom_key, minval=options.zoom[0], maxval=options.zoom[1])
        weight = weight_map(salience, threshold, zoom)
    if options.mode == "pointwise":
        blurred = pointwise_blur(images, weight * options.sigma, options.kernel_size)
        return AGDAResult(blurred, map_index)
    soft = soft_drop(images, degrade(noise_key, images, options), weight)
    if options.mode == "soft":
        return AGDAResult(soft, map_index)
    use_soft = jax.random.bernoulli(mix_key)
    mixed = jnp.where(use_soft, soft, hard_drop(images, salience, threshold))
    return AGDAResult(mixed, map_index)


def choice_probabilities(attention_maps: jax.Array, choice: str) -> jax.Array:
    """Probability that each map is drawn: [B, h, w, M] -> [B, M]."""
    if choice == "uniform":
        batch, maps = attention_maps.shape[0], attention_maps.shape[-1]
        return jnp.full((batch, maps), 1.0 / maps)
    weights = jnp.sqrt(jnp.sum(attention_maps.astype(jnp.float32), axis=(1, 2)) + 1.0)
    return weights / jnp.sum(weights, axis=-1, keepdims=True)


def choose_map(key: jax.Array, attention_maps: jax.Array, choice: str) -> jax.Array:
    """Draws one map a sample: [B] int32."""
    probabilities = choice_probabilities(attention_maps, choice)
    return jax.random.categorical(key, jnp.log(probabilities)).astype(jnp.int32)


def augmentation_map(attention_maps: jax.Array, map_index: jax.Array, size: Size) -> jax.Array:
    """A*_k: the chosen map at image size, divided by its maximum: [B, H, W, 1] in [0, 1]."""
    chosen = jnp.take_along_axis(attention_maps, map_index[:, None, None, None], axis=-1)
    resized = resize_bilinear(chosen.astype(jnp.float32), size)
    return resized / (jnp.max(resized, axis=(1, 2), keepdims=True) + 1e-8)


def weight_map(salience: jax.Array, threshold: jax.Array, zoom: jax.Array) -> jax.Array:
    """The released code's weight of the degraded image: a sigmoid that is 0 at 0."""
    floor = jax.nn.sigmoid(-threshold * zoom)
    return (jax.nn.sigmoid((salience - threshold) * zoom) - floor) / (1.0 - floor)


def soft_drop(images: jax.Array, degraded: jax.Array, weight: jax.Array) -> jax.Array:
    """I' = I·(1 − w) + I_d·w (eq. 6)."""
    return (images * (1.0 - weight) + degraded * weight).astype(images.dtype)


def hard_drop(images: jax.Array, salience: jax.Array, threshold: jax.Array | float) -> jax.Array:
    """I' = I·BM, BM = 0 where A* > θ_d and 1 elsewhere (eq. 7)."""
    return jnp.where(salience > threshold, 0.0, images).astype(images.dtype)


def degrade(key: jax.Array, images: jax.Array, options: AGDAOptions) -> jax.Array:
    """I_d: images made small, blurred, given noise and resized back: [B, H, W, 3]."""
    size = images.shape[1:3]
    small_size = (int(size[0] * options.scale), int(size[1] * options.scale))
    if min(small_size) <= options.kernel_size // 2:
        raise ValueError(
            f"AGDA blurs at {small_size[0]}×{small_size[1]} pixels (scale {options.scale} of "
            f"{size[0]}×{size[1]}): a kernel of {options.kernel_size} needs more than "
            f"{options.kernel_size // 2}; raise the scale or the image size, or shrink the kernel"
        )
    small = resize_bilinear(images.astype(jnp.float32), small_size)
    blurred = gaussian_blur(small, options.kernel_size, options.sigma)
    if options.noise:
        blurred = blurred + options.noise * jax.random.normal(key, blurred.shape)
    return resize_bilinear(blurred, size)


def gaussian_blur(images: jax.Array, kernel_size: int, sigma: float) -> jax.Array:
    """Separable Gaussian blur, the border reflected without repeating its edge: [B, H, W, C]."""
    offsets = np.arange(kernel_size) - kernel_size // 2
    weights = np.exp(-(offsets**2) / (2 * sigma**2))
    weights /= weights.sum()
    for axis in (1, 2):
        size = images.shape[axis]
        padding = [(0, 0)] * 4
        padding[axis] = (kernel_size // 2,) * 2
        padded = jnp.pad(images, padding, mode="reflect")
        # Shifted multiply-adds: a loop that every backend fuses, with no channel-mixing product.
        images = sum(
            w * lax.slice_in_dim(padded, i, i + size, axis=axis)
            for i, w in enumerate(weights.astype(np.float32))
        )
    return images


def pointwise_blur(images: jax.Array, sigma: jax.Array, kernel_size: int) -> jax.Array:
    """Blurs each pixel with a Gaussian of its own width.

    Args:
      images: [B, H, W, C].
      sigma: [B, H, W, 1] in pixels; 0 leaves the pixel as it is.
      kernel_size: odd; offsets beyond it are cut and the weights normalised.
    """
    half, (height, width) = kernel_size // 2, images.shape[1:3]
    padding = ((0, 0), (half, half), (half, half), (0, 0))
    padded = jnp.pad(images.astype(jnp.float32), padding, mode="reflect")
    precision = 1.0 / (2.0 * jnp.square(jnp.maximum(sigma, 1e-3)))

    def add_offset(
        sums: tuple[jax.Array, jax.Array], offset: jax.Array
    ) -> tuple[tuple[jax.Array, jax.Array], None]:
        u, v = offset // kernel_size, offset % kernel_size
        distance = jnp.square(u - half) + jnp.square(v - half)
        weight = jnp.exp(-distance * precision)
        shape = (images.shape[0], height, width, images.shape[3])
        shifted = lax.dynamic_slice(padded, (0, u, v, 0), shape)
        return (sums[0] + weight * shifted, sums[1] + weight), None

    zeros = (jnp.zeros_like(images, jnp.float32), jnp.zeros_like(precision))
    (total, weights), _ = lax.scan(add_offset, zeros, jnp.arange(kernel_size**2))
    return (total / weights).astype(images.dtype)
