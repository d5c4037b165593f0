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
    return lax.conv_general_dilated(
        x,
        kernel,
        (stride, stride),
        padding,
        rhs_dilation=(dilation, dilation),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
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
    x, kernel = residuals

    def plain(x: jax.Array, kernel: jax.Array) -> jax.Array:
        return convolve.fun(x, kernel, stride, padding, dilation)

    def by_convolution(x: jax.Array, kernel: jax.Array, grad: jax.Array) -> jax.Array:
        return jax.linear_transpose(functools.partial(plain, x), kernel)(grad)[0]

    def by_products(x: jax.Array, kernel: jax.Array, grad: jax.Array) -> jax.Array:
        return filter_gradient(x, kernel, grad, stride, padding, dilation)

    (of_x,) = jax.linear_transpose(lambda x: plain(x, kernel), x)(grad)
    if stride == 1 and x.shape[-1] < _FEW:
        return of_x, by_convolution(x, kernel, grad)
    return of_x, lax.platform_dependent(x, kernel, grad, cpu=by_products, default=by_convolution)


convolve.defvjp(_forward, _backward)


def filter_gradient(
    x: jax.Array,
    kernel: jax.Array,
    grad: jax.Array,
    stride: int,
    padding: Padding,
    dilation: int = 1,
) -> jax.Array:
    """The gradient of `convolve`'s kernel as a matrix product for each of the kernel's rows.

    What a row's taps see lies side by side, so that a product gives them all: the map itself where
    it is strided, else the gradient, shifted the other way, whose channels are mostly fewer.

    Args:
      x: [B, H, W, C_in], what was convolved.
      kernel: [k_h, k_w, C_in, C_out]; its values do not matter.
      grad: [B, H', W', C_out], of the result.
      stride, padding, dilation: of `convolve`.

    Returns:
      [k_h, k_w, C_in, C_out].
    """
    rows, columns, before, after = kernel.shape
    x = jnp.pad(x, ((0, 0), *padding, (0, 0)))
    _, height, width, _ = grad.shape
    down, across = (height - 1) * stride + 1, (width - 1) * stride + 1
    seen = [x[:, top : top + down : stride] for top in range(0, rows * dilation, dilation)]
    lefts = range(0, columns * dilation, dilation)
    if stride > 1:
        shifted = [[r[:, :, left : left + across : stride] for left in lefts] for r in seen]
        products = [_product(jnp.concatenate(row, -1), grad) for row in shifted]
        return jnp.stack(products).reshape(kernel.shape)
    reach = lefts[-1]
    wide = jnp.pad(grad, ((0, 0), (0, 0), (reach, reach), (0, 0)))
    both = width + reach  # columns of the padded map
    beside = jnp.concatenate([wide[:, :, reach - left :][:, :, :both] for left in lefts], -1)
    products = [_product(row, beside) for row in seen]
    return jnp.stack(products).reshape(rows, before, columns, after).swapaxes(1, 2)


def _product(x: jax.Array, y: jax.Array) -> jax.Array:
    """Of all but the last axis of both: [..., A], [..., B] -> [A, B]."""
    return x.reshape(-1, x.shape[-1]).T @ y.reshape(-1, y.shape[-1])
