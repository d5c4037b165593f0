"""Convolution over time, height and width."""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

from matnet_jax.nn.batch_norm import BatchNorm, Norm
from matnet_jax.nn.initializers import CONV, ZEROS, Init
from matnet_jax.nn.layers import same_padding_of_axis
from matnet_jax.nn.product import matrix_product

Triple = tuple[int, int, int]


def paddings(
    size: tuple[int, ...], kernel: Triple, stride: Triple, padding: tuple[int, ...] | str
) -> list[tuple[int, int]]:
    """Before and after each of three axes; of "same", TensorFlow's SAME."""
    if isinstance(padding, str):
        return list(map(same_padding_of_axis, size, kernel, stride))
    return [(pad, pad) for pad in padding]


class Conv3D(nn.Module):
    """Convolution of clips: [B, T, H, W, C] -> [B, T', H', W', features].

    Attributes:
      features: channels of the result.
      kernel_size: in frames, rows and columns.
      stride: likewise.
      padding: zeros before and after each axis; None for half of the kernel; "same" for
        TensorFlow's SAME.
      use_bias: whether a bias is added.
    """

    features: int
    kernel_size: Triple = (3, 3, 3)
    stride: Triple = (1, 1, 1)
    padding: Triple | str | None = None
    use_bias: bool = False
    dtype: jnp.dtype = jnp.float32
    kernel_init: Init = CONV

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """See the class."""
        shape = (*self.kernel_size, x.shape[-1], self.features)
        kernel = self.param("kernel", self.kernel_init, shape).astype(self.dtype)
        x = x.astype(self.dtype)
        if self.kernel_size == (1, 1, 1):
            t, h, w = self.stride
            y = matrix_product(x[:, ::t, ::h, ::w], kernel[0, 0, 0])
        else:
            half = tuple(k // 2 for k in self.kernel_size)
            padding = half if self.padding is None else self.padding
            y = lax.conv_general_dilated(
                x,
                kernel,
                self.stride,
                paddings(x.shape[1:4], self.kernel_size, self.stride, padding),
                dimension_numbers=("NDHWC", "DHWIO", "NDHWC"),
            )
        if self.use_bias:
            y = y + self.param("bias", ZEROS, (self.features,)).astype(self.dtype)
        return y


class ConvNorm(nn.Module):
    """``conv`` and ``bn``, without or with the ReLU: [B, T, H, W, C] -> [B, T', H', W', features].

    Attributes:
      features, kernel_size, stride, padding: see `Conv3D`.
      norm: fields of the batch norm.
      activate: whether a ReLU follows.
    """

    features: int
    kernel_size: Triple = (3, 3, 3)
    stride: Triple = (1, 1, 1)
    padding: Triple | str | None = None
    norm: Norm = Norm()
    activate: bool = True

    @nn.compact
    def __call__(self, x: jax.Array, train: bool, weight: jax.Array | None = None) -> jax.Array:
        """See the class."""
        conv = Conv3D(
            self.features,
            self.kernel_size,
            self.stride,
            self.padding,
            dtype=self.norm.dtype,
            name="conv",
        )
        x = BatchNorm(*self.norm, name="bn")(conv(x), train=train, weight=weight)
        return nn.relu(x) if self.activate else x


def max_pool(x: jax.Array, kernel: Triple, stride: Triple, padding: Triple | str) -> jax.Array:
    """Max-pooling of [B, T, H, W, C], beyond whose borders is nothing."""
    return nn.max_pool(x, kernel, stride, paddings(x.shape[1:4], kernel, stride, padding))
