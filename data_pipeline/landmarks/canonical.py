"""A mean face, for where only 5 landmarks of a face are known.

It stands for a face as a whole and not for the one at hand: a real outline differs from it by head
turn, age and build. Where dense landmarks can be had, use those.
"""

from __future__ import annotations

import numpy as np

from data_pipeline.extract.crop import similarity_transform

# The mean of MediaPipe meshes of 899 frontal portraits, laid over one another by 5 points and made
# symmetric; in the units of the 112 px template of `data_pipeline.extract.crop`. First the 68-point
# layout: 17 of the jaw, 10 of the brows, 9 of the nose, 12 of the eyes, 20 of the mouth. Then 13 of
# the forehead. Of the portraits 700 are of members of the US Congress (public domain) and 199 of
# the Face Research Lab London Set (DeBruine and Jones, CC BY 4.0); none is part of the project.
# fmt: off
POINTS = np.array([
    (15.3, 56.6), (15.7, 65.3), (16.2, 74.0), (17.4, 83.3), (23.5, 100.6), (27.8, 106.2),
    (38.0, 115.0), (48.7, 120.5), (56.0, 121.2), (63.3, 120.5), (74.0, 115.0), (84.2, 106.2),
    (88.5, 100.6), (94.6, 83.3), (95.8, 74.0), (96.3, 65.3), (96.7, 56.6), (22.7, 45.6),
    (26.5, 42.5), (32.4, 40.8), (39.8, 41.2), (47.9, 42.0), (64.1, 42.0), (72.2, 41.2),
    (79.6, 40.8), (85.5, 42.5), (89.3, 45.6), (56.0, 51.2), (56.0, 59.3), (56.0, 67.2),
    (56.0, 72.2), (45.1, 77.6), (51.2, 79.4), (56.0, 79.7), (60.8, 79.4), (66.9, 77.6),
    (29.6, 53.8), (33.8, 51.9), (39.7, 51.6), (45.7, 54.4), (40.8, 55.3), (34.7, 55.3),
    (66.3, 54.4), (72.3, 51.6), (78.2, 51.9), (82.4, 53.8), (77.3, 55.3), (71.2, 55.3),
    (38.3, 89.9), (42.1, 87.8), (50.8, 86.2), (56.0, 86.9), (61.2, 86.2), (69.9, 87.8),
    (73.7, 89.9), (69.0, 94.9), (61.0, 99.0), (56.0, 99.5), (51.0, 99.0), (43.0, 94.9),
    (40.6, 89.9), (48.0, 89.4), (56.0, 90.0), (64.0, 89.4), (71.4, 89.9), (64.0, 93.2),
    (56.0, 94.1), (48.0, 93.2), (15.9, 47.4), (17.6, 40.1), (21.2, 33.2), (26.9, 27.6),
    (35.5, 23.8), (44.9, 21.9), (56.0, 21.5), (67.1, 21.9), (76.5, 23.8), (85.1, 27.6),
    (90.8, 33.2), (94.4, 40.1), (96.1, 47.4),
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
