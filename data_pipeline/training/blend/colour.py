"""A face given the colours of another: statistics within a mask are matched."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

Match = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]

_LEAST_DEVIATION = 1.0
"""Of 255; flatter ones are not stretched: they hold noise of rounding."""
_GREATEST_STRETCH = 3.0


def match_means(source: np.ndarray, target: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The source with each channel shifted so that the means in a mask are the target's.

    Args:
      source, target: uint8 RGB [H, W, 3].
      mask: uint8 [H, W]; what is above 0 counts, each pixel alike. Where it is empty, nothing
        changes.

    Returns:
      uint8 RGB [H, W, 3].
    """
    if not mask.any():
        return source
    shift = np.array(cv2.mean(target, mask)[:3]) - cv2.mean(source, mask)[:3]
    return _tables(source, np.ones(3), shift)


def match_lab(source: np.ndarray, target: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The source with its mean and deviation in CIELAB those of the target, within a mask.

    Reinhard et al., Color Transfer between Images (2001), with CIELAB for their space.

    Args:
      source, target, mask: see `match_means`.

    Returns:
      uint8 RGB [H, W, 3].
    """
    if not mask.any():
        return source
    given, wanted = (cv2.cvtColor(image, cv2.COLOR_RGB2LAB) for image in (source, target))
    (mean, deviation), (to_mean, to_deviation) = (
        [statistic[:, 0] for statistic in cv2.meanStdDev(lab, mask=mask)] for lab in (given, wanted)
    )
    gain = np.where(
        deviation < _LEAST_DEVIATION, 1.0, to_deviation / np.maximum(deviation, _LEAST_DEVIATION)
    )
    gain = np.clip(gain, 1 / _GREATEST_STRETCH, _GREATEST_STRETCH)
    changed = _tables(given, gain, to_mean - gain * mean)
    return np.asarray(cv2.cvtColor(changed, cv2.COLOR_LAB2RGB))


MATCHES: dict[str, Match] = {"means": match_means, "lab": match_lab}
"""(source, target, mask) → the source with the target's colours."""


def _tables(image: np.ndarray, gain: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """gain·x + shift of each channel."""
    values = np.arange(256)[:, None] * gain + shift
    return np.asarray(cv2.LUT(image, np.clip(np.rint(values), 0, 255).astype(np.uint8)[None]))
