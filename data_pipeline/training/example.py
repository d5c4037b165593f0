"""One example on its way from a source to a batch, in pixels of its crop."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np

FIELDS = ("mask", "landmarks", "landmarks_dense", "box")
"""What an example may hold beside image and label."""


@dataclasses.dataclass(frozen=True, eq=False)
class Example:
    """A face crop and what is known of it.

    Points are (x, y), and a pixel's centre has whole coordinates: the first is (0, 0), as OpenCV's
    transforms have it.

    Attributes:
      image: uint8 RGB [H, W, 3]; of a clip [T, H, W, 3], which has nothing else but its label.
      label: 0 real, 1 fake.
      landmarks: float32 [K, 2] in pixels of the image; None where they were not read. The 5 points
        are left eye, right eye, nose, left and right mouth corner, left and right on the image.
      landmarks_dense: float32 [K, 2] likewise, of a layout of `blend.regions`, beside the 5 points;
        None where they were not read.
      box: float32 [4], x0, y0, x1, y1 of the detector's face box in pixels of the image, beyond
        which it may reach; None where it was not read.
      mask: uint8 [H, W], 255 where the image is forged and 0 elsewhere, in between where it is
        blended by a soft mask; None where it was not read.
    """

    image: np.ndarray
    label: int
    landmarks: np.ndarray | None = None
    mask: np.ndarray | None = None
    landmarks_dense: np.ndarray | None = None
    box: np.ndarray | None = None

    def with_points(self, move: Callable[[np.ndarray], np.ndarray]) -> Example:
        """The example with its landmarks and the corners of its box moved.

        Args:
          move: points [n, 2] to as many.
        """

        def moved(points: np.ndarray | None) -> np.ndarray | None:
            if points is None:
                return None
            return np.asarray(move(points.reshape(-1, 2)), np.float32).reshape(points.shape)

        return dataclasses.replace(
            self,
            landmarks=moved(self.landmarks),
            landmarks_dense=moved(self.landmarks_dense),
            box=moved(self.box),
        )
