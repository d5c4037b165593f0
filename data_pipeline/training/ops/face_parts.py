"""Augmentation that hides a part of a face."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import cv2
import numpy as np

from data_pipeline.training.example import Example


@dataclasses.dataclass(frozen=True)
class RemovePart:
    """Paints the eyes, the mouth or the nose black, as Selim Seferbekov did (DFDC, first).

    The eyes by a coin; else the mouth by another; else the nose by a third; else nothing. Black is
    what lies about a line, of two pixels: from eye to eye and from the nose to between the eyes by
    up to a quarter of the eyes' distance, from corner to corner of the mouth by up to a third of
    its width. Distances are along rows and columns.

    `apply` raises ValueError for an example without its five landmarks.
    """

    reads: ClassVar[tuple[str, ...]] = ("landmarks",)

    p: float = 0.7

    def apply(self, example: Example, draw: np.random.Generator) -> Example:
        """See the class."""
        if example.landmarks is None or len(example.landmarks) != 5:
            raise ValueError("removing a part of a face needs its five landmarks")
        left_eye, right_eye, nose, left_corner, right_corner = example.landmarks
        eyes = float(np.linalg.norm(right_eye - left_eye)) / 4
        mouth = float(np.linalg.norm(right_corner - left_corner)) / 3
        parts = (
            (left_eye, right_eye, eyes),
            (left_corner, right_corner, mouth),
            (nose, (left_eye + right_eye) / 2, eyes),
        )
        for start, end, reach in parts:
            if draw.random() < 0.5:
                image = example.image.copy()
                image[_about_line(image.shape[:2], start, end, reach)] = 0
                return dataclasses.replace(example, image=image)
        return example


def _about_line(
    shape: tuple[int, ...], start: np.ndarray, end: np.ndarray, reach: float
) -> np.ndarray:
    """Where an image is at most so many whole pixels from a line: bool [H, W]."""
    line = np.full(shape, 255, np.uint8)
    (x0, y0), (x1, y1) = (np.rint(point).astype(int).tolist() for point in (start, end))
    cv2.line(line, (x0, y0), (x1, y1), 0, thickness=2)
    return np.asarray(cv2.distanceTransform(line, cv2.DIST_L1, 3) <= int(reach))
