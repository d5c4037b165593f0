"""Augmentations that move pixels: mask and landmarks move along."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np

from data_pipeline.landmarks.mirrored import MIRRORED
from data_pipeline.training.example import Example
from data_pipeline.training.ops.base import Range
from data_pipeline.training.window import Window


@dataclasses.dataclass(frozen=True)
class Flip:
    """Mirrors left and right.

    `apply` raises ValueError for landmarks that `MIRRORED` does not know.
    """

    p: float = 0.5

    def apply(self, example: Example, draw: np.random.Generator) -> Example:
        """See the class."""
        return Example(
            image=cv2.flip(example.image, 1),
            label=example.label,
            landmarks=None if example.landmarks is None else self._points(example),
            mask=None if example.mask is None else np.asarray(cv2.flip(example.mask, 1)),
        )

    def _points(self, example: Example) -> np.ndarray:
        points = np.asarray(example.landmarks)
        if len(points) not in MIRRORED:
            known = ", ".join(map(str, MIRRORED))
            raise ValueError(
                f"cannot mirror {len(points)} landmarks: which are left and right is known of "
                f"{known}; add theirs to MIRRORED in data_pipeline.landmarks.mirrored"
            )
        points = points[list(MIRRORED[len(points)])]
        points[:, 0] = example.image.shape[1] - 1 - points[:, 0]
        return points


@dataclasses.dataclass(frozen=True)
class RandomCrop:
    """Cuts a square of a fraction of the size drawn from `scale`, resized back."""

    p: float = 0.5
    scale: Range = (0.85, 1.0)

    def apply(self, example: Example, draw: np.random.Generator) -> Example:
        """See the class."""
        height, width = example.image.shape[:2]
        scale = draw.uniform(*self.scale)
        h, w = max(1, int(height * scale)), max(1, int(width * scale))
        top, left = draw.integers(0, height - h + 1), draw.integers(0, width - w + 1)
        window = Window(int(top), int(left), h, w)
        return window.apply(example, (width, height), cv2.INTER_LINEAR)
