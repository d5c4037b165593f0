"""Three classical ways to put one person's face, or a part of it, on another's.

Each is (target, donor, draw) → the target's image with the donor's features; outside the region
that is swapped, not a pixel changes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import cv2
import numpy as np

from data_pipeline.swaps.detail import restored
from data_pipeline.swaps.portraits import Face
from data_pipeline.training.blend.colour import match_lab, match_means
from data_pipeline.training.blend.poisson import poisson
from data_pipeline.training.blend.regions import LAYOUTS, REGIONS
from data_pipeline.training.blend.resolution import at_scale
from data_pipeline.training.blend.warp import landmark_warp, similarity_warp

Swap = Callable[[Face, Face, np.random.Generator], np.ndarray]

_INNER = ("brow_left", "brow_right", "eye_left", "eye_right", "nose_bridge", "nose_base", "mouth")
_PARTS = ("eyes", "mouth")
"""What is spliced: the hulls of these regions' groups."""


def poisson_swap(target: Face, donor: Face, draw: np.random.Generator) -> np.ndarray:
    """The donor's face bent onto the target's landmarks, blended by Poisson's equation.

    Half of the time it reaches up to the hair, else to a little above the brows.
    """
    warped = landmark_warp(
        donor.image, donor.points, target.points, target.image.shape[:2], cv2.INTER_LANCZOS4
    )
    warped = restored(warped, target.points, donor)
    points = target.points
    if draw.random() < 0.5:
        forehead = LAYOUTS[len(points)]["forehead"]
        points = np.delete(points, list(forehead), axis=0)
    # Drawn in, so that the border runs over skin and not along hair and background.
    centre = points.mean(0)
    mask = _filled([centre + (points - centre) * draw.uniform(0.88, 0.96)], target.image)
    return poisson(warped, target.image, mask)


def paste_swap(target: Face, donor: Face, draw: np.random.Generator) -> np.ndarray:
    """The donor's face moved by one affine map, given the target's colours, and feathered."""
    affine, _ = cv2.estimateAffine2D(donor.points, target.points, method=cv2.LMEDS)
    shape = target.image.shape[:2]
    if affine is None:
        moved = similarity_warp(donor.image, donor.points, target.points, shape, cv2.INTER_CUBIC)
    else:
        moved = cv2.warpAffine(
            donor.image,
            affine,
            shape[::-1],
            flags=cv2.INTER_CUBIC,
            borderMode=cv2.BORDER_REFLECT_101,
        )
    mask = _filled([target.points], target.image)
    moved = restored(match_lab(moved, target.image, mask), target.points, donor)
    feather = draw.uniform(0.03, 0.08) * np.ptp(target.points[:, 0])
    return _feathered(moved, target.image, mask, feather)


def splice_swap(target: Face, donor: Face, draw: np.random.Generator) -> np.ndarray:
    """The donor's eyes and brows, or mouth, each aligned by its own points, coloured, feathered."""
    part = _PARTS[draw.integers(len(_PARTS))]
    names = LAYOUTS[len(target.points)]
    image = target.image
    width = np.ptp(target.points[:, 0])
    for group in REGIONS[part]:
        chosen = [i for name in group for i in names[name]]
        to = target.points[chosen]
        own = donor.points[chosen]
        moved = similarity_warp(donor.image, own, to, image.shape[:2], cv2.INTER_LANCZOS4)
        moved = restored(moved, to, Face(donor.image, own))
        grown = int(max(width * draw.uniform(0.05, 0.09), 1))
        kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * grown + 1,) * 2)
        mask = np.asarray(cv2.dilate(_filled([to], image), kernel))
        ring = mask & ~_filled([to], image)  # skin around, not the eye or the lips
        image = _feathered(match_means(moved, image, ring), image, mask, grown / 3)
    return image


KINDS: dict[str, Swap] = {"poisson": poisson_swap, "paste": paste_swap, "splice": splice_swap}


def at_face_width(face: Face, width: int | None) -> Face:
    """A face as if it had been photographed `width` pixels wide: shrunk, and grown back.

    Args:
      face: is returned as it is where it is no wider.
      width: between its outermost landmarks; None leaves it as it is.
    """
    scale = 1.0 if width is None else width / float(np.ptp(face.points[:, 0]))
    if scale >= 1:
        return face
    return Face(at_scale(face.image, scale), face.points)


def _filled(outlines: Sequence[np.ndarray], image: np.ndarray) -> np.ndarray:
    mask = np.zeros(image.shape[:2], np.uint8)
    for points in outlines:
        hull = cv2.convexHull(np.ascontiguousarray(points, np.float32))
        cv2.fillConvexPoly(mask, np.rint(hull).astype(np.int32), 255)
    return mask


def _feathered(
    source: np.ndarray, target: np.ndarray, mask: np.ndarray, sigma: float
) -> np.ndarray:
    """The source within a mask that rises from its border inwards over about 4·sigma pixels."""
    reach = max(int(np.ceil(2 * sigma)), 1)
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1,) * 2)
    # At the image's border there is no seam, so nothing is taken away there.
    core = cv2.erode(mask, kernel, borderType=cv2.BORDER_REPLICATE)
    size = 2 * reach + 1
    soft = cv2.GaussianBlur(core.astype(np.float32), (size, size), sigma) / np.float32(255)
    made = cv2.blendLinear(source, target, soft, 1 - soft)
    return np.where((soft > 0)[..., None], made, target)
