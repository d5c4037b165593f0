"""Light of high dynamic range (PQ, HLG) or wide gamut as a usual screen shows it (BT.709)."""

from __future__ import annotations

import functools

import numpy as np

PQ, HLG = 16, 18
"""Transfer characteristics by the numbers of ITU-T H.273."""

BT2020, DISPLAY_P3 = 9, 12
"""Primaries by the numbers of ITU-T H.273."""

TO_709 = {
    BT2020: np.array(  # ITU-R BT.2087
        [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]],
        np.float32,
    ),
    DISPLAY_P3: np.array(
        [[1.2249, -0.2249, 0.0], [-0.0420, 1.0420, 0.0], [-0.0197, -0.0786, 1.0983]], np.float32
    ),
}
"""Of linear light in these primaries, to those of BT.709, which are sRGB's; white stays white."""

_WHITE = 203.0  # cd/m², diffuse white: ITU-R BT.2408
_KNEE = 0.8  # of white: brighter light is compressed, darker stays as it is
_LUMA = {  # of BT.2020 and of Display P3
    BT2020: np.array([0.2627, 0.6780, 0.0593], np.float32),
    DISPLAY_P3: np.array([0.2290, 0.6917, 0.0793], np.float32),
}
_PEAK = 1000.0  # cd/m², of the screen that HLG is meant for
_SYSTEM_GAMMA = 1.2  # HLG's at that peak: ITU-R BT.2100


def to_standard_range(image: np.ndarray, transfer: int, primaries: int = BT2020) -> np.ndarray:
    """R'G'B' [H, W, 3] of high dynamic range to uint8 R'G'B' of BT.709.

    Args:
      image: uint16, 0 to 65535; or uint8.
      transfer: `PQ` or `HLG`.
      primaries: of `TO_709`.
    """
    light = _linear(transfer)[image if image.dtype == np.uint16 else image.astype(np.uint16) * 257]
    if transfer == HLG:  # from the scene's light to the screen's
        luminance = light @ _LUMA[primaries]
        light *= (np.maximum(luminance, 1e-6) ** (_SYSTEM_GAMMA - 1))[..., None]
        light *= _PEAK / _WHITE
    light = np.maximum(light @ TO_709[primaries].T, 0.0)
    room = 1 - _KNEE
    bright = light > _KNEE
    light[bright] = _KNEE + room * (1 - np.exp((_KNEE - light[bright]) / room))
    return np.round(255 * light ** (1 / 2.4)).astype(np.uint8)  # ITU-R BT.1886


def narrow_gamut(image: np.ndarray, primaries: int) -> np.ndarray:
    """uint8 R'G'B' [H, W, 3] of a wide gamut and standard range to sRGB, clipped to it.

    The transfer is taken for sRGB's both ways: of Display P3 it is, of BT.2020 nearly.
    """
    signal = np.arange(256, dtype=np.float32) / 255
    linear = np.where(signal <= 0.04045, signal / 12.92, ((signal + 0.055) / 1.055) ** 2.4)
    light = np.clip(linear.astype(np.float32)[image] @ TO_709[primaries].T, 0, 1)
    encoded = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    return np.round(255 * encoded).astype(np.uint8)


@functools.cache
def _linear(transfer: int) -> np.ndarray:
    """Linear light of each value: float32 [65536], of white (PQ), or of the scene's peak (HLG)."""
    signal = np.arange(65536) / 65535
    if transfer == PQ:  # SMPTE ST 2084
        root = signal ** (32 / 2523)
        light = np.maximum(root - 3424 / 4096, 0) / (2413 / 128 - 2392 / 128 * root)
        return (10000 / _WHITE * light ** (16384 / 2610)).astype(np.float32)
    a, b, c = 0.17883277, 0.28466892, 0.55991073  # ITU-R BT.2100
    return np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - c) / a) + b) / 12).astype(
        np.float32
    )
