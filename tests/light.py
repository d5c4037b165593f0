"""What a camera writes of light: signals of PQ and HLG, frames of Y'CbCr. For tests."""

from __future__ import annotations

import av
import numpy as np

TO_2020 = np.array(  # ITU-R BT.2087
    [[0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.0880, 0.8956]]
)
TO_P3 = np.array([[0.8225, 0.1775, 0.0], [0.0332, 0.9668, 0.0], [0.0171, 0.0724, 0.9105]])


def pq(light: np.ndarray) -> np.ndarray:
    """cd/m² of a screen to the signal: SMPTE ST 2084."""
    root = (light / 10000) ** (2610 / 16384)
    return ((3424 / 4096 + 2413 / 128 * root) / (1 + 2392 / 128 * root)) ** (2523 / 32)


def hlg(light: np.ndarray) -> np.ndarray:
    """cd/m² of a screen of 1000 cd/m² [..., 3 of BT.2020] to the signal: ITU-R BT.2100."""
    shown = light / 1000
    luminance = shown @ [0.2627, 0.6780, 0.0593]
    scene = np.minimum(shown * (luminance ** (1 / 1.2 - 1))[..., None], 1)
    bright = 0.17883277 * np.log(np.maximum(12 * scene - 0.28466892, 1e-9)) + 0.55991073
    return np.where(scene <= 1 / 12, np.sqrt(3 * scene), bright)


def frame(signal: np.ndarray, bits: int) -> av.VideoFrame:
    """R'G'B' of BT.2020, 0 to 1 [H, W, 3], as Y'CbCr 4:2:0 of limited range. H and W are even."""
    luma = signal @ [0.2627, 0.6780, 0.0593]
    blue, red = (signal[..., 2] - luma) / 1.8814, (signal[..., 0] - luma) / 1.4746
    parts = [16 + 219 * luma, 128 + 224 * blue[::2, ::2], 128 + 224 * red[::2, ::2]]
    name = pixel_format(bits)
    made = av.VideoFrame(signal.shape[1], signal.shape[0], name)
    for plane, part in zip(made.planes, parts, strict=True):
        numbers = np.round(2 ** (bits - 8) * part).astype("<u2" if bits > 8 else np.uint8)
        rows = np.zeros((plane.height, plane.line_size), np.uint8)
        rows[:, : numbers.shape[1] * numbers.itemsize] = numbers.view(np.uint8)
        plane.update(rows)
    return made


def pixel_format(bits: int) -> str:
    """FFmpeg's name."""
    return "yuv420p" if bits == 8 else f"yuv420p{bits}le"
