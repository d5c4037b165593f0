"""One example on its way from a source to a batch, in pixels of its crop."""

from __future__ import annotations

import dataclasses

import numpy as np

FIELDS = ("mask", "landmarks")
"""What an example may hold beside image and label."""


@dataclasses.dataclass(frozen=True, eq=False)
class Example:
    """A face crop and what is known of it.

    Points are (x, y), and a pixel's centre has whole coordinates: the first is (0, 0), as OpenCV's
    transforms have it.

    Attributes:
      image: uint8 RGB [H, W, 3].
      label: 0 real, 1 fake.
      landmarks: float32 [K, 2] in pixels of the image; None where they were not read. The 5 points
        are left eye, right eye, nose, left and right mouth corner, left and right on the image.
      mask: uint8 [H, W], 255 where the image is forged and 0 elsewhere, in between where it is
        blended by a soft mask; None where it was not read.
    """

    image: np.ndarray
    label: int
    landmarks: np.ndarray | None = None
    mask: np.ndarray | None = None
