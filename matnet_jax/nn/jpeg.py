"""What a JPEG makes of an image, on the device: the arithmetic of baseline JPEG, in whole numbers.

As libjpeg computes it by default: 4:2:0 chroma, fixed-point transforms of 13 bits, triangle
upsampling. Pillow and OpenCV give the same pixels; the entropy coding between, which loses nothing,
is left out. Nothing here has a gradient.

ITU-T T.81 (tables of annex K, DCT of annex A.3.3), and JFIF's colours.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

_LUMA = np.array(
    [
        *[16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55],
        *[14, 13, 16, 24, 40, 57, 69, 56, 14, 17, 22, 29, 51, 87, 80, 62],
        *[18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92],
        *[49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99],
    ]
).reshape(8, 8)
_CHROMA = np.full((8, 8), 99)
_CHROMA[:4, :4] = [[17, 18, 24, 47], [18, 21, 26, 66], [24, 26, 56, 99], [47, 66, 99, 99]]

_BITS, _PASS_BITS = 13, 2  # of the transforms' constants, and kept between their two passes


def quantization_table(base: np.ndarray, quality: int) -> np.ndarray:
    """The table that libjpeg scales from `base` for a quality of 1 to 100: [8, 8], 1 to 255."""
    scale = 5000 // quality if quality < 50 else 200 - 2 * quality
    return np.clip((base * scale + 50) // 100, 1, 255)


def _transform() -> np.ndarray:
    """√8 · DCT-II, in 13-bit fixed point: row k has frequency k.

    Its numbers are sums of libjpeg's rounded constants: up to 1 off a rounded cosine's.
    """
    even = [
        [8192, 8192, 8192, 8192],
        [10703, 4433, -4433, -10703],
        [8192, -8192, -8192, 8192],
        [4433, -10704, 10704, -4433],
    ]
    odd = [
        [11363, 9633, 6437, 2260],
        [9633, -2259, -11362, -6436],
        [6437, -11362, 2261, 9633],
        [2260, -6436, 9633, -11363],
    ]
    rows = np.zeros((8, 8), np.int32)
    rows[::2, :4], rows[1::2, :4] = even, odd
    rows[::2, 4:], rows[1::2, 4:] = rows[::2, 3::-1], -rows[1::2, 3::-1]
    return rows


_DCT = _transform()


def _shifted(x: jax.Array, bits: int) -> jax.Array:
    """X / 2^bits, rounded to the nearest, halves up."""
    return (x + (1 << (bits - 1))) >> bits


def _along(matrix: np.ndarray, x: jax.Array, axis: int) -> jax.Array:
    """Matrix [8, 8] times each line of blocks [..., 8, 8] along `axis`, in whole numbers."""
    return jnp.einsum("...rc,kc->...rk" if axis == -1 else "...rc,kr->...kc", x, matrix)


def _through_blocks(plane: jax.Array, table: np.ndarray) -> jax.Array:
    """A plane [B, H, W] of 0…255, H and W multiples of 8, transformed, quantised and back."""
    b, h, w = plane.shape
    blocks = plane.reshape(b, h // 8, 8, w // 8, 8).swapaxes(2, 3) - 128
    x = _shifted(_along(_DCT, blocks, -1), _BITS - _PASS_BITS)
    x = _shifted(_along(_DCT, x, -2), _BITS + _PASS_BITS)  # 8 times the orthonormal DCT
    steps = jnp.asarray(8 * table, jnp.int32)
    levels = jnp.sign(x) * ((jnp.abs(x) + steps // 2) // steps)
    x = levels * jnp.asarray(table, jnp.int32)
    x = _shifted(_along(_DCT.T, x, -2), _BITS - _PASS_BITS)
    x = _shifted(_along(_DCT.T, x, -1), _BITS + _PASS_BITS + 3)
    return jnp.clip(x.swapaxes(2, 3).reshape(b, h, w) + 128, 0, 255)


def _padded(x: jax.Array, multiple: int) -> jax.Array:
    """[B, H, W, …] with its last row and column repeated up to a multiple."""
    extra = [(0, -n % multiple) for n in x.shape[1:3]]
    return jnp.pad(x, ((0, 0), *extra, *[(0, 0)] * (x.ndim - 3)), mode="edge")


def _halved(chroma: jax.Array) -> jax.Array:
    """Means of 2×2 pixels; halves go up and down in turn along a row: [B, H, W] -> half each."""
    b, h, w = chroma.shape
    sums = chroma.reshape(b, h // 2, 2, w // 2, 2).sum((2, 4))
    return (sums + 1 + jnp.arange(w // 2) % 2) >> 2


def _doubled(x: jax.Array) -> jax.Array:
    """Each pixel 3 parts of its own and 1 of its neighbour's, on both axes: [B, h, w] -> twice."""
    near = jnp.pad(x, ((0, 0), (1, 1), (0, 0)), mode="edge")
    rows = jnp.stack([3 * x + near[:, :-2], 3 * x + near[:, 2:]], axis=2)
    rows = rows.reshape(x.shape[0], -1, x.shape[2])
    near = jnp.pad(rows, ((0, 0), (0, 0), (1, 1)), mode="edge")
    pairs = jnp.stack([3 * rows + near[..., :-2] + 8, 3 * rows + near[..., 2:] + 7], axis=-1)
    return pairs.reshape(*rows.shape[:2], -1) >> 4


def _fixed(number: float) -> int:
    return round(number * 65536)


def resaved(pixels: jax.Array, quality: int) -> jax.Array:
    """An image as it comes out of a JPEG file of that quality.

    Args:
      pixels: int32 RGB [B, H, W, 3], 0…255.
      quality: 1 to 100, libjpeg's.

    Returns:
      int32 [B, H, W, 3], 0…255.
    """
    height, width = pixels.shape[1:3]
    red, green, blue = jnp.moveaxis(_padded(pixels, 16), -1, 0)
    luma = (19595 * red + 38470 * green + 7471 * blue + 32768) >> 16
    middle = (128 << 16) + 32767
    chroma = (
        (-11059 * red - 21709 * green + 32768 * blue + middle) >> 16,
        (32768 * red - 27439 * green - 5329 * blue + middle) >> 16,
    )
    luma = _through_blocks(luma, quantization_table(_LUMA, quality))[:, :height, :width]
    table = quantization_table(_CHROMA, quality)
    rows, columns = -(-height // 2), -(-width // 2)
    cb, cr = (
        _doubled(_through_blocks(_halved(plane), table)[:, :rows, :columns])[:, :height, :width]
        - 128
        for plane in chroma
    )
    colours = [
        luma + _shifted(_fixed(1.402) * cr, 16),
        luma + _shifted(-_fixed(0.344136286) * cb - _fixed(0.714136286) * cr, 16),
        luma + _shifted(_fixed(1.772) * cb, 16),
    ]
    return jnp.clip(jnp.stack(colours, axis=-1), 0, 255)


def error_levels(pixels: jax.Array, quality: int) -> jax.Array:
    """How far each pixel is from its JPEG, stretched so that an image's farthest is 255.

    Args:
      pixels: int32 RGB [B, H, W, 3], 0…255.
      quality: of the JPEG.

    Returns:
      float32 [B, H, W, 3], 0…255; zeros where the JPEG changes nothing.
    """
    error = jnp.abs(pixels - resaved(pixels, quality)).astype(jnp.float32)
    farthest = jnp.max(error, axis=(1, 2, 3), keepdims=True)
    return error * (255.0 / jnp.maximum(farthest, 1.0))
