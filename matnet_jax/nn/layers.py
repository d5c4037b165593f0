"""The layers every part of the network is built from: convolutions, products, normalisation."""

from __future__ import annotations

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

from matnet_jax.nn.convolution import convolve
from matnet_jax.nn.depthwise import Padding, depthwise_conv
from matnet_jax.nn.initializers import CONV, DENSE, ONES, ZEROS, Init
from matnet_jax.nn.product import matrix_product


def same_padding(
    size: tuple[int, ...],
    kernel: int | tuple[int, int],
    stride: int,
    nominal_size: int | None = None,
) -> Padding:
    """TensorFlow's SAME padding of each axis, for the real size or for a nominal one.

    The released PyTorch code computes the padding once, from the backbone's native image size,
    whatever the input's real size: `nominal_size` reproduces that.
    """
    (rows, columns), (height, width) = _both(kernel), size
    return (
        same_padding_of_axis(nominal_size or height, rows, stride),
        same_padding_of_axis(nominal_size or width, columns, stride),
    )


def same_padding_of_axis(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """TensorFlow's SAME padding before and after one axis."""
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


def _both(kernel: int | tuple[int, int]) -> tuple[int, int]:
    return (kernel, kernel) if isinstance(kernel, int) else kernel


class Conv(nn.Module):
    """Convolution, optionally grouped, as [B, H, W, C_in] -> [B, H', W', features].

    A 1×1 convolution is a matrix product. Groups are separate convolutions: there are few of them
    (one an attention map) and XLA is slow at grouped ones, above all at their gradients.

    Attributes:
      kernel_size: side of the kernel, or its rows and columns.
      padding: zeros around the image, or None for SAME.
      nominal_size: image size that SAME is computed from; None for the real one.
      dilation: distance of the kernel's taps, in pixels.
    """

    features: int
    kernel_size: int | tuple[int, int] = 3
    stride: int = 1
    groups: int = 1
    use_bias: bool = False
    padding: Padding | None = None
    nominal_size: int | None = None
    dtype: jnp.dtype = jnp.float32
    kernel_init: Init = CONV
    bias_init: Init = ZEROS
    dilation: int = 1

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """See the class."""
        sides, channels = _both(self.kernel_size), x.shape[-1] // self.groups
        kernel = self.param("kernel", self.kernel_init, (*sides, channels, self.features))
        x, kernel = x.astype(self.dtype), kernel.astype(self.dtype)
        if self.groups == 1:
            y = self._convolve(x, kernel)
        else:
            inputs = jnp.split(x, self.groups, axis=-1)
            kernels = jnp.split(kernel, self.groups, axis=-1)
            y = jnp.concatenate(
                [self._convolve(i, k) for i, k in zip(inputs, kernels, strict=True)], axis=-1
            )
        if self.use_bias:
            bias = self.param("bias", self.bias_init, (self.features,))
            y = y + bias.astype(self.dtype)
        return y

    def _convolve(self, x: jax.Array, kernel: jax.Array) -> jax.Array:
        rows, columns = _both(self.kernel_size)
        if rows == columns == 1:
            seen = x if self.stride == 1 else x[:, :: self.stride, :: self.stride]
            return matrix_product(seen, kernel.reshape(kernel.shape[2:]))
        padding = self.padding
        if padding is None:
            reach = (rows - 1) * self.dilation + 1, (columns - 1) * self.dilation + 1
            size = x.shape[1], x.shape[2]
            padding = same_padding(size, reach, self.stride, self.nominal_size)
        return convolve(x, kernel, self.stride, padding, self.dilation)


class ConvTranspose(nn.Module):
    """Transposed convolution: [B, H, W, C_in] -> [B, stride·H, stride·W, features].

    The gradient of a `Conv` of that stride with padding (k − 1)/2, as in PyTorch with
    ``padding=(k − 1)/2`` and ``output_padding=stride − 1``. Its kernel [k, k, C_in, features] is
    that of a plain convolution over the image with zeros between its pixels: PyTorch's, turned by
    180°.
    """

    features: int
    kernel_size: int = 3
    stride: int = 1
    dtype: jnp.dtype = jnp.float32
    kernel_init: Init = CONV
    bias_init: Init = ZEROS

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """See the class."""
        k, reach = self.kernel_size, self.kernel_size // 2
        kernel = self.param("kernel", self.kernel_init, (k, k, x.shape[-1], self.features))
        bias = self.param("bias", self.bias_init, (self.features,))
        x = x.astype(self.dtype)
        # The zeros are written out: XLA's convolution that implies them is twice as slow on CPUs.
        sides = (reach, reach + self.stride - 1, self.stride - 1)
        x = lax.pad(x, jnp.zeros((), self.dtype), ((0, 0, 0), sides, sides, (0, 0, 0)))
        y = lax.conv_general_dilated(
            x,
            kernel.astype(self.dtype),
            (1, 1),
            "VALID",
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )
        return y + bias.astype(self.dtype)


class DepthwiseConv(nn.Module):
    """One k×k filter a channel: [B, H, W, C] -> [B, H', W', C]. Kernel [k, k, C]."""

    kernel_size: int = 3
    stride: int = 1
    padding: Padding | None = None
    nominal_size: int | None = None
    dtype: jnp.dtype = jnp.float32
    kernel_init: Init = CONV
    use_bias: bool = False
    bias_init: Init = ZEROS

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """See the class."""
        k = self.kernel_size
        kernel = self.param("kernel", self.kernel_init, (k, k, x.shape[-1]))
        padding = self.padding or same_padding(x.shape[1:3], k, self.stride, self.nominal_size)
        y = depthwise_conv(x.astype(self.dtype), kernel.astype(self.dtype), self.stride, padding)
        if self.use_bias:
            bias = self.param("bias", self.bias_init, (x.shape[-1],))
            y = y + bias.astype(self.dtype)
        return y


class Dense(nn.Module):
    """Matrix product over the last axis plus a bias: [..., C_in] -> [..., features]."""

    features: int
    dtype: jnp.dtype = jnp.float32
    kernel_init: Init = DENSE
    bias_init: Init = ZEROS

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """See the class."""
        kernel = self.param("kernel", self.kernel_init, (x.shape[-1], self.features))
        bias = self.param("bias", self.bias_init, (self.features,))
        y = matrix_product(x.astype(self.dtype), kernel.astype(self.dtype))
        return y + bias.astype(self.dtype)


class LayerNorm(nn.Module):
    """Normalises the last axis of [..., C] by its own mean and variance, which are float32.

    Called with `like` [..., C], which broadcasts to x, mean and variance are those of `like`.
    """

    epsilon: float = 1e-6
    dtype: jnp.dtype = jnp.float32
    scale_init: Init = ONES
    bias_init: Init = ZEROS

    @nn.compact
    def __call__(self, x: jax.Array, *, like: jax.Array | None = None) -> jax.Array:
        """See the class."""
        scale = self.param("scale", self.scale_init, (x.shape[-1],))
        bias = self.param("bias", self.bias_init, (x.shape[-1],))
        return _layer_norm(x, like, scale, bias, self.epsilon).astype(self.dtype)


@functools.partial(jax.jit, static_argnums=4)  # traced once a shape
def _layer_norm(
    x: jax.Array, like: jax.Array | None, scale: jax.Array, bias: jax.Array, epsilon: float
) -> jax.Array:
    wide = x.astype(jnp.float32)
    measured = wide if like is None else like.astype(jnp.float32)
    mean = jnp.mean(measured, axis=-1, keepdims=True)
    var = jnp.mean(jnp.square(measured - mean), axis=-1, keepdims=True)
    return (wide - mean) * lax.rsqrt(var + epsilon) * scale + bias


@functools.partial(jax.jit, static_argnums=2)
def drop_path(x: jax.Array, key: jax.Array, rate: float) -> jax.Array:
    """Stochastic depth: drops whole samples [B, ...] with `rate`, divides survivors by 1 − rate."""
    keep = jax.random.bernoulli(key, 1.0 - rate, (x.shape[0],) + (1,) * (x.ndim - 1))
    return jnp.where(keep, x / (1.0 - rate), jnp.zeros_like(x))
