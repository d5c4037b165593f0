"""A mean face, for where only 5 landmarks of a face are known.

It stands for a face as a whole and not for the one at hand: a real outline differs from it by head
turn, age and build. Where dense landmarks can be had, use those.
"""

from __future__ import annotations

import numpy as np

from data_pipeline.extract.crop import similarity_transform

# The mean of MediaPipe meshes of 700 frontal portraits, laid over one another by 5 points and made
# symmetric; in the units of the 112 px template of `data_pipeline.extract.crop`. First the 68-point
# layout: 17 of the jaw, 10 of the brows, 9 of the nose, 12 of the eyes, 20 of the mouth. Then 13 of
# the forehead. The portraits are of members of the US Congress (public domain); none is part of the
# project, and nobody of them is among the people that it is measured on. `benchmarks.mean_face`
# computes it.
# fmt: off
POINTS = np.array([
    (15.1, 56.3), (15.5, 65.0), (15.9, 73.8), (17.1, 83.1), (23.3, 100.6), (27.6, 106.2),
    (38.0, 115.2), (48.7, 120.9), (56.0, 121.7), (63.3, 120.9), (74.0, 115.2), (84.4, 106.2),
    (88.7, 100.6), (94.9, 83.1), (96.1, 73.8), (96.5, 65.0), (96.9, 56.3), (22.7, 45.8),
    (26.5, 42.7), (32.5, 41.1), (39.8, 41.6), (47.9, 42.5), (64.1, 42.5), (72.2, 41.6),
    (79.5, 41.1), (85.5, 42.7), (89.3, 45.8), (56.0, 51.5), (56.0, 59.7), (56.0, 67.6),
    (56.0, 72.7), (44.9, 77.7), (51.1, 79.7), (56.0, 80.1), (60.9, 79.7), (67.1, 77.7),
    (29.5, 53.8), (33.7, 52.0), (39.7, 51.7), (45.7, 54.5), (40.8, 55.3), (34.7, 55.3),
    (66.3, 54.5), (72.3, 51.7), (78.3, 52.0), (82.5, 53.8), (77.3, 55.3), (71.2, 55.3),
    (37.7, 89.6), (41.6, 87.7), (50.6, 86.3), (56.0, 87.0), (61.4, 86.3), (70.4, 87.7),
    (74.3, 89.6), (69.4, 95.1), (61.2, 99.6), (56.0, 100.1), (50.8, 99.6), (42.6, 95.1),
    (40.0, 89.7), (47.7, 89.3), (56.0, 89.9), (64.3, 89.3), (72.0, 89.7), (64.2, 93.6),
    (56.0, 94.7), (47.8, 93.6), (15.7, 47.1), (17.5, 39.9), (21.1, 33.1), (26.8, 27.6),
    (35.5, 23.8), (44.9, 21.9), (56.0, 21.5), (67.1, 21.9), (76.5, 23.8), (85.2, 27.6),
    (90.9, 33.1), (94.5, 39.9), (96.3, 47.1),
], np.float32)
# fmt: on
"""[81, 2]."""


def five_points(points: np.ndarray) -> np.ndarray:
    """Eyes, nose and mouth corners [5, 2] of points [68 or more, 2] in the 68-point layout."""
    eyes = points[36:42].mean(0), points[42:48].mean(0)
    return np.stack([*eyes, points[30], points[48], points[54]])


def fit(landmarks: np.ndarray) -> np.ndarray:
    """The mean face where the 5 landmarks are.

    Args:
      landmarks: [5, 2], left eye, right eye, nose, left and right mouth corner on the image.

    Returns:
      float32 [81, 2], by the least-squares similarity between the two fives; one point many times
      where the landmarks coincide.
    """
    matrix = similarity_transform(five_points(POINTS), landmarks)
    return (POINTS @ matrix[:, :2].T + matrix[:, 2]).astype(np.float32)
