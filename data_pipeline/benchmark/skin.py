"""Apparent skin tone of a face, measured from its pixels.

It is what the camera made of skin and light, no annotation of a person: enough to see whether
errors fall on darker or lighter faces, and no more.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

_RADIUS = 0.15
"""Of a cheek's patch, in distances between the eyes."""


def cheek_mask(shape: tuple[int, int], landmarks: np.ndarray) -> np.ndarray:
    """Where the cheeks are: a disc half-way between each eye and the mouth's corner below it.

    Args:
      shape: height and width of the image.
      landmarks: [5, 2], eyes, nose, corners of the mouth, in pixels.

    Returns:
      bool [H, W].
    """
    eyes, mouth = landmarks[:2], landmarks[3:5]
    radius = max(round(_RADIUS * float(np.linalg.norm(eyes[1] - eyes[0]))), 1)
    mask = np.zeros(shape, np.uint8)
    for centre in (eyes + mouth) / 2:
        x, y = np.rint(centre).astype(int).tolist()
        cv2.circle(mask, (x, y), radius, 1, cv2.FILLED)
    return mask.astype(bool)


def typology_angle(image: np.ndarray, landmarks: np.ndarray) -> float | None:
    """The individual typology angle of the cheeks, in degrees: higher is lighter.

    ITA = arctan((L* - 50) / b*) (Chardon, Cretois and Hourseau 1991), of the median L* and b*, so
    that a glint or a hair counts little. By its four-quadrant form it is defined for bluish light.

    Args:
      image: uint8 RGB [H, W, 3], taken to be sRGB.
      landmarks: [5, 2], see `cheek_mask`.

    Returns:
      The angle in [-180, 180]; None where the cheeks are outside the image.
    """
    mask = cheek_mask(image.shape[:2], landmarks)
    if not mask.any():
        return None
    lab = cv2.cvtColor(image.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    lightness, _, yellow = np.median(lab[mask], axis=0)
    return float(np.degrees(np.arctan2(lightness - 50, yellow)))


def quartile_edges(angles: Sequence[float]) -> list[float]:
    """The three angles that part people into quarters.

    Raises:
      ValueError: fewer than four people.
    """
    if len(angles) < 4:
        raise ValueError(f"quartiles of skin tone need four people, not {len(angles)}")
    return np.quantile(np.asarray(angles, np.float64), [0.25, 0.5, 0.75]).tolist()


def quartile(angle: float, edges: Sequence[float]) -> str:
    """From "1", the darkest, to "4", by edges that were fitted on other people."""
    return str(int(np.searchsorted(edges, angle, side="right")) + 1)
