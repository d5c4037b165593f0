"""The mean face of 5 landmarks against meshes of faces it was not taken over.

    python -m benchmarks.mean_face --portraits=DIR --detector_weights=FILE

The folder holds manifest.csv (path, group) and landmarks.npz (path, points [N, 468, 2]). Prints the
mean face of `--mean_groups`, the partners in a mirror by its mesh that the table has otherwise,
and how far the mean face laid over YuNet's 5 points lies from the meshes of `--groups`.
"""

from __future__ import annotations

import csv
from pathlib import Path

import cv2
import numpy as np
from absl import app, flags
from scipy.optimize import linear_sum_assignment

from data_pipeline.detectors import create_detector
from data_pipeline.extract.crop import similarity_transform, template
from data_pipeline.landmarks import canonical
from data_pipeline.landmarks.mirrored import MIRRORED
from data_pipeline.training.blend.regions import LAYOUTS, region_hulls

_PORTRAITS = flags.DEFINE_string("portraits", None, "Folder.", required=True)
_DETECTOR_WEIGHTS = flags.DEFINE_string("detector_weights", None, "YuNet's file.")
_MEAN_GROUPS = flags.DEFINE_list("mean_groups", ["congress", "members"], "Of the mean face.")
_GROUPS = flags.DEFINE_list("groups", ["london"], "That it is measured on.")

# The mesh's points of the 68-point layout, in its order.
# fmt: off
_OF_MESH = (
    127, 234, 93, 132, 172, 136, 149, 148, 152, 377, 378, 365, 397, 361, 323, 454, 356, 70, 63, 105,
    66, 107, 336, 296, 334, 293, 300, 168, 197, 5, 4, 98, 97, 2, 326, 327, 33, 160, 158, 133, 153,
    144, 362, 385, 387, 263, 373, 380, 61, 40, 37, 0, 267, 270, 291, 321, 314, 17, 84, 91, 78, 81,
    13, 311, 308, 402, 14, 178, *LAYOUTS[468]["forehead"],
)
# fmt: on


def mean_mesh(meshes: np.ndarray) -> np.ndarray:
    """Meshes [N, 468, 2] laid over the crop's 5 points, and averaged: [468, 2], 112 px wide."""
    five, laid = _symmetric(template(112, margin=1.0), MIRRORED[5]), []
    for mesh in meshes:
        laid.append(_laid(mesh, canonical.five_points(mesh[list(_OF_MESH)]), five))
    return np.mean(laid, axis=0)


def mean_face(mesh: np.ndarray) -> np.ndarray:
    """The symmetric 81 points of a mean mesh, their five where the crop's are: [81, 2]."""
    points = _symmetric(mesh, MIRRORED[468])[list(_OF_MESH)]
    five = _symmetric(template(112, margin=1.0), MIRRORED[5])
    return _laid(points, canonical.five_points(points), five)


def partners(mesh: np.ndarray) -> np.ndarray:
    """The pairing of points across the midline x = 56 with the least squared distances: [468]."""
    mirrored = np.stack([112 - mesh[:, 0], mesh[:, 1]], axis=1)
    squares = np.square(mesh[:, None] - mirrored[None]).sum(axis=-1)
    return np.asarray(linear_sum_assignment(squares)[1])


def distances(mesh: np.ndarray, five: np.ndarray) -> tuple[float, float]:
    """Of the mean face laid over 5 points: how far jaw and forehead are, and what hulls share.

    Returns:
      Mean distance of jaw and forehead in widths of the mesh, and intersection over union.
    """
    fitted = canonical.fit(five)
    outline = [*range(17), *range(68, 81)]
    away = np.linalg.norm(fitted[outline] - mesh[list(_OF_MESH)][outline], axis=1)
    low = np.minimum(fitted.min(0), mesh.min(0)) - 2
    areas = []
    for points in (fitted, mesh.astype(np.float32)):
        [hull] = region_hulls(points, "hull")
        filled = np.zeros(np.ceil(np.ptp(mesh, axis=0)[::-1] * 2).astype(int), np.uint8)
        areas.append(cv2.fillConvexPoly(filled, np.rint(hull - low).astype(np.int32), 1) > 0)
    union = (areas[0] | areas[1]).sum()
    return away.mean() / np.ptp(mesh[:, 0]), (areas[0] & areas[1]).sum() / union


def _symmetric(points: np.ndarray, mirror: tuple[int, ...]) -> np.ndarray:
    other = points[list(mirror)]
    return (points + np.stack([112 - other[:, 0], other[:, 1]], axis=1)) / 2


def _laid(points: np.ndarray, own: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    matrix = similarity_transform(own, wanted)
    return points @ matrix[:, :2].T + matrix[:, 2]


def main(_: list[str]) -> None:
    """Runs the command."""
    root = Path(_PORTRAITS.value)
    with (root / "manifest.csv").open(encoding="utf-8") as file:
        groups = {row["path"]: row["group"] for row in csv.DictReader(file)}
    with np.load(root / "landmarks.npz") as stored:
        meshes = dict(zip(map(str, stored["path"]), stored["points"][..., :2], strict=True))
    chosen = [mesh for path, mesh in meshes.items() if groups[path] in _MEAN_GROUPS.value]
    mesh = mean_mesh(np.array(chosen, np.float64))
    face = mean_face(mesh)
    off = np.abs(face - canonical.POINTS).max()
    print(f"mean of {len(chosen)} meshes, at most {off:.2f} from canonical.POINTS:")
    print(", ".join(f"({x:.1f}, {y:.1f})" for x, y in face))
    other = np.flatnonzero(partners(mesh) != MIRRORED[468])
    print(f"partners in a mirror that differ from MIRRORED[468]: {other.tolist()}")
    weights = _DETECTOR_WEIGHTS.value
    detector = create_detector("yunet", Path(weights) if weights else None)
    found, faceless = [], 0
    for path, mesh in meshes.items():
        if groups[path] in _GROUPS.value:
            image = cv2.imread(str(root / path), cv2.IMREAD_COLOR_RGB)
            faces = [] if image is None else detector.detect(image)
            faceless += not faces
            found += [distances(mesh, faces[0].landmarks)] if faces else []
    away, shared = np.array(found).T
    print(
        f"{len(found)} faces ({faceless} not found): outline {away.mean():.1%} of the face's width "
        f"away ({away.max():.1%} at worst), hulls share {shared.mean():.2f} ({shared.min():.2f})"
    )


if __name__ == "__main__":
    app.run(main)
