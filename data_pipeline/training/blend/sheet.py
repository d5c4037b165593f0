"""A picture of self-blended images: a row for each face, with the real, the fake and the mask.

    python -m data_pipeline.training.blend.sheet --images=DIR --out=FILE.png [--num=8] [--seed=0]

The faces are drawn from the folder by the seed; images without a face are passed over.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
from absl import flags

from data_pipeline.commands import Command
from data_pipeline.detectors import create_detector
from data_pipeline.files import atomic_path
from data_pipeline.landmarks.face_mesh import FaceMesh
from data_pipeline.training.blend.self_blend import SelfBlend
from data_pipeline.training.example import Example

_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp")
LANDMARKS = ("yunet", "face_mesh")

Find = Callable[[np.ndarray], np.ndarray | None]
"""uint8 RGB [H, W, 3] -> landmarks [K, 2] of its largest face, or None."""


class SheetError(ValueError):
    """There is nothing to draw."""


def contact_sheet(paths: Sequence[Path], find: Find, *, num: int, seed: int) -> np.ndarray:
    """Up to `num` pairs below one another.

    Args:
      paths: image files.
      find: the landmarks.
      num: rows.
      seed: of the choice of files and of every pair.

    Returns:
      uint8 RGB [rows · size, 3 · size, 3].

    Raises:
      SheetError: no face in any of them.
    """
    order = np.random.default_rng(seed).permutation(len(paths))
    op = SelfBlend()
    rows = []
    for path, image, landmarks in _faces([paths[i] for i in order], find):
        draw = np.random.default_rng([seed, len(rows)])
        real, fake = op.pair(Example(image, 0, landmarks), draw)
        assert fake.mask is not None  # a pair's masks are there
        grey = cv2.cvtColor(fake.mask, cv2.COLOR_GRAY2RGB)
        print(f"row {len(rows) + 1}: {path}")
        rows.append(np.concatenate([real.image, fake.image, grey], axis=1))
        if len(rows) == num:
            break
    if not rows:
        raise SheetError(f"no face in {len(paths)} images")
    return np.concatenate(rows)


def _faces(paths: Sequence[Path], find: Find) -> Iterator[tuple[Path, np.ndarray, np.ndarray]]:
    for path in paths:
        image = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR_RGB)
        landmarks = None if image is None else find(image)
        if image is not None and landmarks is not None:
            yield path, image, landmarks


def _finder(name: str, detector_weights: Path | None, landmark_weights: Path | None) -> Find:
    detector = create_detector("yunet", detector_weights)
    mesh = FaceMesh(landmark_weights) if name == "face_mesh" else None

    def find(image: np.ndarray) -> np.ndarray | None:
        faces = detector.detect(image)
        if not faces:
            return None
        face = faces[0]
        return mesh.points(image, face.box, face.landmarks) if mesh else face.landmarks

    return find


def _run(values: flags.FlagValues, _: list[str]) -> None:
    folder, out = Path(values.images).expanduser(), Path(values.out).expanduser()
    if not folder.is_dir():
        raise SheetError(f"no folder {folder}: --images names one with images of faces")
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in _SUFFIXES)
    if not paths:
        raise SheetError(f"no images in {folder}; looked for {', '.join(_SUFFIXES)}")
    find = _finder(values.landmarks, _path(values.detector_weights), _path(values.landmark_weights))
    sheet = contact_sheet(paths, find, num=values.num, seed=values.seed)
    with atomic_path(out) as temporary:
        if not cv2.imwrite(str(temporary), cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR)):
            raise SheetError(f"cannot write {out}")
    print(f"wrote {out}")


def _path(text: str | None) -> Path | None:
    return None if text is None else Path(text).expanduser()


def _define(values: flags.FlagValues) -> None:
    flags.DEFINE_string("images", None, "Folder.", required=True, flag_values=values)
    flags.DEFINE_string("out", None, "PNG file.", required=True, flag_values=values)
    flags.DEFINE_integer("num", 8, "Rows.", lower_bound=1, flag_values=values)
    flags.DEFINE_integer("seed", 0, "Of every draw.", lower_bound=0, flag_values=values)
    flags.DEFINE_enum(
        "landmarks",
        "yunet",
        list(LANDMARKS),
        "5 points and a mean face around them, or 468 of the face.",
        flag_values=values,
    )
    flags.DEFINE_string(
        "detector_weights", None, "YuNet's file; fetched once by default.", flag_values=values
    )
    flags.DEFINE_string(
        "landmark_weights", None, "The mesh's file; fetched once by default.", flag_values=values
    )


COMMAND = Command(
    program="python -m data_pipeline.training.blend.sheet",
    about=__doc__,
    define=_define,
    run=_run,
    errors=(ValueError, OSError),
)

if __name__ == "__main__":
    sys.exit(COMMAND())
