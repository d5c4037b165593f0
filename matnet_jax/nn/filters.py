"""Fixed filter banks of forensics and steganalysis, as NumPy kernels [k, k, filters].

Each is a correlation, row first, its centre in the middle. The thirty residuals are made by the
rules of Fridrich and Kodovský, "Rich models for steganalysis of digital images", TIFS 2012.
"""

from __future__ import annotations

import math

import numpy as np

_KB = np.array([[-1, 2, -1], [2, -4, 2], [-1, 2, -1]])
_KV = np.array(
    [
        [-1, 2, -2, 2, -1],
        [2, -6, 8, -6, 2],
        [-2, 8, -12, 8, -2],
        [2, -6, 8, -6, 2],
        [-1, 2, -2, 2, -1],
    ]
)
# (row, column) steps to the eight neighbours.
_AROUND = [(-1, -1), (-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1)]
_AXES = [(1, 0), (1, -1), (0, 1), (1, 1)]
_CLASSES = ((1, 8), (2, 4), (3, 8), (4, 5), (12, 5))  # normaliser, and how many have it


def srm30(*, normalize: bool = False) -> np.ndarray:
    """The thirty residuals of the spatial rich model: [5, 5, 30] float32, each of sum 0.

    8 of first order, 4 of second, 8 of third, the 3×3 square and its 4 edges, the 5×5 square and
    its 4 edges.

    Args:
      normalize: divides each by its class's 1, 2, 3, 4 or 12.
    """
    kernels = [_taps({(0, 0): -1, step: 1}) for step in _AROUND]
    kernels += [_taps({(0, 0): -2, (r, c): 1, (-r, -c): 1}) for r, c in _AXES]
    kernels += [_taps({(-r, -c): 1, (0, 0): -3, (r, c): 3, (2 * r, 2 * c): -1}) for r, c in _AROUND]
    for square in (np.pad(_KB, 1), _KV):
        kernels += [square, *_edges(square)]
    bank = np.stack(kernels, axis=-1).astype(np.float32)
    if normalize:
        bank /= np.repeat([q for q, _ in _CLASSES], [count for _, count in _CLASSES])
    return bank


def srm3() -> np.ndarray:
    """The three that forgery networks use, normalised: KB / 4, KV / 12, and [1, −2, 1] / 2."""
    second = _taps({(0, 0): -2, (0, 1): 1, (0, -1): 1})
    kernels = [np.pad(_KB, 1) / 4, _KV / 12, second / 2]
    return np.stack(kernels, axis=-1).astype(np.float32)


def phase_aware4() -> np.ndarray:
    """KV / 12, a centre-surround kernel, and two odd waves, across and down: [5, 5, 4] float32.

    Of Chen, Sedighi, Boroumand and Fridrich, "JPEG-phase-aware convolutional neural network for
    steganalysis of JPEG images", IH&MMSec 2017; the second's sum is −0.0036.
    """
    ring = {(0, 0): -1.0, (0, 1): 0.1395, (1, 0): 0.1395, (1, 1): 0.0897, (0, 2): 0.0199}
    ring |= {(2, 0): 0.0199}
    point = np.zeros((5, 5))
    for (row, column), value in ring.items():
        for r in {row, -row}:
            for c in {column, -column}:
                point[2 + r, 2 + c] = value
    rows = np.array([[0.0926, 0.2233], [0.0818, 0.1970], [0.0562, 0.1354]])[[2, 1, 0, 1, 2]]
    outer, inner = rows.T
    across = np.stack([outer, -inner, np.zeros(5), inner, -outer], axis=1)
    return np.stack([_KV / 12, point, across, across.T], axis=-1).astype(np.float32)


def laplacian_of_gaussian(sigma: float) -> np.ndarray:
    """[k, k] float32 with k = 2⌈3σ⌉ + 1, of sum 0 and absolute sum 1."""
    reach = math.ceil(3 * sigma)
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    squares = x**2 + y**2
    kernel = (squares - 2 * sigma**2) / sigma**4 * np.exp(-squares / (2 * sigma**2))
    kernel -= kernel.mean()
    return (kernel / np.abs(kernel).sum()).astype(np.float32)


def _taps(taps: dict[tuple[int, int], int]) -> np.ndarray:
    kernel = np.zeros((5, 5))
    for (row, column), value in taps.items():
        kernel[2 + row, 2 + column] = value
    return kernel


def _edges(square: np.ndarray) -> list[np.ndarray]:
    """The square without what lies below, left of, above, and right of its centre."""
    edges = [square.copy() for _ in range(4)]
    edges[0][3:], edges[1][:, :2], edges[2][:2], edges[3][:, 3:] = 0, 0, 0, 0
    return edges
