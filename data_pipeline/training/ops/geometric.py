"""Augmentations that move pixels: mask, landmarks and box move along."""

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
        last = example.image.shape[1] - 1
        done = example.with_points(lambda points: np.stack([last - points[:, 0], points[:, 1]], 1))
        return dataclasses.replace(
            done,
            image=cv2.flip(example.image, 1),
            mask=None if example.mask is None else np.asarray(cv2.flip(example.mask, 1)),
            landmarks=_renumbered(done.landmarks),
            landmarks_dense=_renumbered(done.landmarks_dense),
            box=None if done.box is None else done.box[[2, 1, 0, 3]],
        )


def _renumbered(points: np.ndarray | None) -> np.ndarray | None:
    """Mirrored landmarks, each in the place of its partner."""
    if points is None:
        return None
    if len(points) not in MIRRORED:
        known = ", ".join(map(str, MIRRORED))
        raise ValueError(
            f"cannot mirror {len(points)} landmarks: which are left and right is known of "
            f"{known}; add theirs to MIRRORED in data_pipeline.landmarks.mirrored"
        )
    return points[list(MIRRORED[len(points)])]


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
