"""Convolution over all channels, whose filter gradient is matrix products on CPUs.

XLA's CPU compiler makes a convolution of the filter gradient, with the map's rows and columns for a
kernel and transposed copies of both sides. Here it is a product for each row of the kernel.
"""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
from jax import lax

from matnet_jax.nn.depthwise import Padding
from matnet_jax.nn.depthwise.shifted import tap

_FEW = 16  # channels: products with fewer are slower than the convolution


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3, 4))
def convolve(
    x: jax.Array, kernel: jax.Array, stride: int, padding: Padding, dilation: int = 1
) -> jax.Array:
    """Convolves with filters over all channels.

    Args:
      x: [B, H, W, C_in].
      kernel: [k_h, k_w, C_in, C_out].
      stride: of both axes.
      padding: ((top, bottom), (left, right)), zeros.
      dilation: distance of the kernel's taps, in pixels.

    Returns:
      [B, H', W', C_out].
    """
    return xla_convolve(x, kernel, stride, padding, dilation)


def xla_convolve(
    x: jax.Array,
    kernel: jax.Array,
    stride: int,
    padding: Padding,
    dilation: int = 1,
    precision: lax.PrecisionLike = None,
) -> jax.Array:
    """The same with the gradients XLA derives, of products at a precision: the reference."""
    return lax.conv_general_dilated(
        x,
        kernel,
        (stride, stride),
        padding,
        rhs_dilation=(dilation, dilation),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        precision=precision,
    )


def _forward(
    x: jax.Array, kernel: jax.Array, stride: int, padding: Padding, dilation: int
) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    return convolve(x, kernel, stride, padding, dilation), (x, kernel)


@functools.partial(jax.jit, static_argnums=(0, 1, 2))  # traced once for layers of a shape
def _backward(
    stride: int,
    padding: Padding,
    dilation: int,
    residuals: tuple[jax.Array, jax.Array],
    grad: jax.Array,
) -> tuple[jax.Array, jax.Array]:
    (x, kernel), options = residuals, (stride, padding, dilation)

    def by_convolution(x: jax.Array, grad: jax.Array) -> jax.Array:
        of_kernel = jax.linear_transpose(lambda kernel: xla_convolve(x, kernel, *options), kernel)
        return of_kernel(grad)[0]

    def by_products(x: jax.Array, grad: jax.Array) -> jax.Array:
        return filter_gradient(x, grad, kernel.shape[:2], *options)

    (of_x,) = jax.linear_transpose(lambda x: xla_convolve(x, kernel, *options), x)(grad)
    if stride == 1 and x.shape[-1] < _FEW:
        return of_x, by_convolution(x, grad)
    return of_x, lax.platform_dependent(x, grad, cpu=by_products, default=by_convolution)


convolve.defvjp(_forward, _backward)


def filter_gradient(
    x: jax.Array,
    grad: jax.Array,
    sides: tuple[int, ...],
    stride: int,
    padding: Padding,
    dilation: int = 1,
) -> jax.Array:
    """The gradient of `convolve`'s kernel as a matrix product for each of the kernel's rows.

    What a row's taps see lies side by side, so that a product gives them all: the map itself where
    it is strided, else the gradient, shifted the other way, whose channels are mostly fewer.

    Args:
      x: [B, H, W, C_in], what was convolved.
      grad: [B, H', W', C_out], of the result.
      sides: (k_h, k_w) of the kernel.
      stride, padding, dilation: of `convolve`.

    Returns:
      [k_h, k_w, C_in, C_out].
    """
    x = jnp.pad(x, ((0, 0), *padding, (0, 0)))
    tops, lefts = (range(0, side * dilation, dilation) for side in sides)
    (_, height, width, after), before = grad.shape, x.shape[-1]
    if stride > 1:
        size = height, width
        rows = [
            jnp.concatenate([tap(x, top, left, size, stride) for left in lefts], -1) for top in tops
        ]
        return jnp.stack([_product(row, grad) for row in rows]).reshape(*sides, before, after)
    reach, columns = lefts[-1], x.shape[2]
    wide = jnp.pad(grad, ((0, 0), (0, 0), (reach, reach), (0, 0)))
    starts = [reach - left for left in lefts]
    beside = jnp.concatenate([wide[:, :, start : start + columns] for start in starts], -1)
    products = jnp.stack([_product(x[:, top : top + height], beside) for top in tops])
    return products.reshape(len(tops), before, len(lefts), after).swapaxes(1, 2)


def _product(x: jax.Array, y: jax.Array) -> jax.Array:
    """Of all but the last axis of both: [..., A], [..., B] -> [A, B]."""
    return x.reshape(-1, x.shape[-1]).T @ y.reshape(-1, y.shape[-1])
