"""A still picture's colours as a browser shows them: of any profile and range, to sRGB."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import IO

import numpy as np
from PIL import Image, ImageCms

from data_pipeline.extract.code_points import CodePoints
from data_pipeline.extract.frames import VideoError
from data_pipeline.extract.hdr import BT2020, HLG, PQ, TO_709, narrow_gamut, to_standard_range

_BAND = 2**20  # pixels at once: light is float32
_CUBE = np.stack(np.meshgrid(*3 * [np.arange(0, 256, 51)]), -1).reshape(1, -1, 3).astype(np.uint8)


def to_srgb(picture: Image.Image, file: IO[bytes], points: CodePoints | None) -> np.ndarray:
    """The pixels of a picture as uint8 RGB [H, W, 3], not turned yet.

    Alpha is left out. Of more than 8 bits the high ones are read; of a HEIC of high dynamic range
    all. Gain maps are not applied: what they would brighten is there in standard range. A
    damaged profile, or one of another kind of colours than the pixels', is left aside.

    Args:
      picture: opened by Pillow, maybe not read yet.
      file: that it was opened from.
      points: see `code_points`.

    Raises:
      VideoError: its pixels are floating-point, or integers beyond 16 bits.
    """
    transfer, primaries = (points.transfer, points.primaries) if points else (2, 2)
    if transfer in (PQ, HLG):
        pixels = _deep(file) if picture.format == "HEIF" else _plain(picture)
        known = primaries if primaries in TO_709 else BT2020
        return _in_bands(pixels, lambda band: to_standard_range(band, transfer, known))
    if primaries in TO_709:
        return _in_bands(_plain(picture), lambda band: narrow_gamut(band, primaries))
    if profile := picture.info.get("icc_profile"):
        return _plain(_by_profile(_eight_bits(picture), profile))
    return _plain(picture)


def _plain(picture: Image.Image) -> np.ndarray:
    picture = _eight_bits(picture)
    return np.asarray(picture if picture.mode == "RGB" else picture.convert("RGB"))


def _eight_bits(picture: Image.Image) -> Image.Image:
    """Grey values of 16 bits by their high bytes; other pictures as they are."""
    if picture.mode == "F":
        raise VideoError("floating-point pixels, of which nothing says how bright 1 is")
    if not picture.mode.startswith("I"):
        return picture
    deep = np.asarray(picture)
    if deep.min(initial=0) < 0 or deep.max(initial=0) > 0xFFFF:
        raise VideoError(f"grey values of {deep.min()} to {deep.max()}; wanted 0 to 65,535")
    is_deep = picture.mode != "I" or deep.max(initial=0) > 0xFF
    return Image.fromarray((deep >> 8 if is_deep else deep).astype(np.uint8))


def _by_profile(picture: Image.Image, profile: bytes) -> Image.Image:
    """Through an ICC profile, where it moves colours.

    Relative to white, without moving black: a press's black is the dark grey that it is on paper.
    """
    picture.load()  # a file that is cut off raises here, and is not taken for a bad profile
    mode = {"L": "L", "LA": "L", "1": "L", "CMYK": "CMYK"}.get(picture.mode, "RGB")
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        space = source.profile.xcolor_space.strip()
        if mode == "L" and space == "RGB":
            mode = "RGB"
        if space != {"L": "GRAY"}.get(mode, mode):
            return picture
        transform = ImageCms.buildTransform(
            source,
            ImageCms.createProfile("sRGB"),
            mode,
            "RGB",
            renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
        )
        if mode == "RGB":
            cube = transform.apply(Image.fromarray(_CUBE))
            if np.abs(np.asarray(cube).astype(int) - _CUBE).max() <= 1:
                return picture  # sRGB in other words: the numbers stay what they are
        return transform.apply(picture if picture.mode == mode else picture.convert(mode))
    except (ImageCms.PyCMSError, OSError, TypeError):
        return picture


def _deep(file: IO[bytes]) -> np.ndarray:
    """All bits of a HEIC: uint16 [H, W, 3], or uint8 where it has no more."""
    import pi_heif

    decoded = pi_heif.open_heif(file, convert_hdr_to_8bit=False)
    pixels = np.array(decoded)  # a copy: the memory is freed with `decoded`, whoever looks at it
    return np.repeat(pixels[..., None], 3, 2) if pixels.ndim == 2 else pixels[..., :3]


def _in_bands(pixels: np.ndarray, convert: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    shown = np.empty(pixels.shape, np.uint8)
    rows = max(1, _BAND // max(1, pixels.shape[1]))
    for start in range(0, len(pixels), rows):
        shown[start : start + rows] = convert(pixels[start : start + rows])
    return shown
