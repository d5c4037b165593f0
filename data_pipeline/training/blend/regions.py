"""Regions of a face that are blended, as convex hulls of landmarks of any dense layout."""

from __future__ import annotations

from collections.abc import Mapping

import cv2
import numpy as np

from data_pipeline.landmarks import canonical

Parts = Mapping[str, tuple[int, ...]]

# Left and right on the image. A jaw half runs from the ear to the chin, a brow from its outer end.
_IBUG_68: Parts = {
    "jaw_left": tuple(range(8)),
    "jaw_right": tuple(range(16, 8, -1)),
    "chin": (8,),
    "cheek_ends": (0, 16),
    "brow_left": tuple(range(17, 22)),
    "brow_right": tuple(range(26, 21, -1)),
    "brow_end_left": (17,),
    "brow_end_right": (26,),
    "eye_left": tuple(range(36, 42)),
    "eye_right": tuple(range(42, 48)),
    "eye_top_left": (37, 38),
    "eye_top_right": (43, 44),
    "nose_bridge": tuple(range(27, 31)),
    "nose_base": tuple(range(31, 36)),
    "mouth": tuple(range(48, 68)),
    "forehead": (),
}
_MEDIAPIPE_468: Parts = {
    "jaw_left": (127, 234, 93, 132, 58, 172, 136, 150, 149, 176, 148),
    "jaw_right": (356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377),
    "chin": (152,),
    "cheek_ends": (127, 234, 356, 454),
    "brow_left": (70, 63, 105, 66, 107, 46, 53, 52, 65, 55),
    "brow_right": (300, 293, 334, 296, 336, 276, 283, 282, 295, 285),
    "brow_end_left": (70, 46),
    "brow_end_right": (300, 276),
    "eye_left": (33, 7, 163, 144, 145, 153, 154, 155, 133, 173, 157, 158, 159, 160, 161, 246),
    "eye_right": (263, 249, 390, 373, 374, 380, 381, 382, 362, 398, 384, 385, 386, 387, 388, 466),
    "eye_top_left": (158, 159, 160),
    "eye_top_right": (385, 386, 387),
    "nose_bridge": (168, 6, 197, 195, 5, 4, 1),
    "nose_base": (64, 98, 97, 2, 326, 327, 294),
    "mouth": (61, 40, 39, 37, 0, 267, 269, 270, 291, 321, 405, 314, 17, 84, 181, 91),
    "forehead": (162, 21, 54, 103, 67, 109, 10, 338, 297, 332, 284, 251, 389),
}
LAYOUTS: dict[int, Parts] = {
    68: _IBUG_68,
    81: {**_IBUG_68, "forehead": tuple(range(68, 81))},
    468: _MEDIAPIPE_468,
}
"""By the number of landmarks: the indices of each named part."""

_COMPONENTS = (
    ("jaw_left", "chin", "brow_end_left"),
    ("jaw_right", "chin", "brow_end_right"),
    ("brow_left", "brow_right", "nose_bridge"),
    ("brow_left", "nose_bridge", "nose_base"),
    ("brow_right", "nose_bridge", "nose_base"),
    ("nose_bridge", "nose_base"),
)
WHOLE = ("hull", "inner", "components", "raised")
"""Of `REGIONS`, those of the face as a whole; the others are parts of it that are swapped alone."""
REGIONS: dict[str, tuple[tuple[str, ...], ...]] = {
    "hull": (tuple(_IBUG_68),),
    "inner": (
        ("jaw_left", "jaw_right", "chin", "mouth"),
        ("nose_bridge", "nose_base"),
        ("brow_left", "brow_right", "eye_left", "eye_right", "cheek_ends"),
    ),
    "components": _COMPONENTS,
    "raised": _COMPONENTS,
    "eyes": (("eye_left", "brow_left"), ("eye_right", "brow_right")),
    "mouth": (("mouth",),),
}
"""Each is the union of the hulls of some groups of parts; in "raised" the brows are lifted."""
_BEYOND = {"eyes": 0.07, "mouth": 0.07}
"""How far a region's hulls reach beyond its points, in widths of the face: skin around them."""
_CIRCLE = np.stack([f(np.arange(16) * (np.pi / 8)) for f in (np.cos, np.sin)], axis=1)


def dense_points(landmarks: np.ndarray, draw: np.random.Generator, jitter: float) -> np.ndarray:
    """Landmarks of a layout of `LAYOUTS`.

    Of 5 points a mean face is made: weaker than landmarks of the face itself, since its outline is
    the same for everyone but for a random stretch and shift, by which it differs from time to time
    as faces do.

    Args:
      landmarks: [K, 2]; they are returned as they are where K is of a layout.
      draw: of the stretch and the shift.
      jitter: their standard deviation, as a share of the face's width and height.

    Returns:
      float32 [K or 81, 2].

    Raises:
      ValueError: landmarks of another number.
    """
    if len(landmarks) in LAYOUTS:
        return np.asarray(landmarks, np.float32)
    if len(landmarks) != 5:
        known = ", ".join(map(str, (5, *LAYOUTS)))
        raise ValueError(
            f"no regions are known of {len(landmarks)} landmarks; of these numbers they are: "
            f"{known}. Add a layout to LAYOUTS in {__name__}"
        )
    stretch, shift = draw.normal(0.0, jitter, (2, 2))
    points = canonical.fit(landmarks)
    centre, size = points.mean(0), np.ptp(points, axis=0)
    return ((points - centre) * (1 + stretch) + centre + shift * size).astype(np.float32)


def region_hulls(points: np.ndarray, region: str, *, forehead: bool = True) -> list[np.ndarray]:
    """The convex hulls whose union is a region.

    Args:
      points: [K, 2] of a layout of `LAYOUTS`.
      region: of `REGIONS`.
      forehead: whether points of the forehead count.

    Returns:
      A hull [n, 2] each, float32.
    """
    parts = dict(LAYOUTS[len(points)])
    if not forehead:
        parts["forehead"] = ()
    if region == "raised":
        points = _raise_brows(points, parts)
    groups = [[i for name in group for i in parts[name]] for group in REGIONS[region]]
    hulls = [cv2.convexHull(np.ascontiguousarray(points[group]))[:, 0] for group in groups]
    reach = _BEYOND.get(region, 0.0) * np.ptp(points[:, 0])
    return [_grown(hull, reach) for hull in hulls] if region in _BEYOND else hulls


def _grown(hull: np.ndarray, reach: float) -> np.ndarray:
    """The hull of all that is so many pixels from a hull or nearer."""
    around = hull[:, None] + reach * _CIRCLE
    return np.asarray(cv2.convexHull(around.reshape(-1, 2).astype(np.float32))[:, 0])


def _raise_brows(points: np.ndarray, parts: Parts) -> np.ndarray:
    """The brows moved away from the eyes by half of what is between, in whole pixels."""
    raised = points.copy()
    for side in ("left", "right"):
        brow = list(parts[f"brow_{side}"])
        away = points[brow].mean(0) - points[list(parts[f"eye_top_{side}"])].mean(0)
        distance = float(np.hypot(*away))
        if distance > 0:
            raised[brow] += away / distance * np.floor(distance / 2)
    return raised
