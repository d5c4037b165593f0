"""A picture of fakes made of real images: a row for each face, with real, fake and mask.

    python -m data_pipeline.training.blend.sheet --images=DIR --out=FILE.png
        [--kind=self_blended|face_xray|fwa] [--broad] [--num=8] [--seed=0]

The faces are drawn from the folder by the seed; images without a face are passed over. The donor of
a face, where a kind has one, is the next row's: who is seen is not known here.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
from absl import flags

from data_pipeline.commands import Command
from data_pipeline.extract.frames import VideoError
from data_pipeline.extract.images import decode_still
from data_pipeline.extract.limits import Limits
from data_pipeline.files import atomic_path
from data_pipeline.landmarks.find import FINDERS, Find, landmark_finder
from data_pipeline.training.blend import PAIRS, PairOp
from data_pipeline.training.blend.broad import broad_op
from data_pipeline.training.example import Example

_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp")
_WRITTEN = (".png", ".jpg", ".jpeg", ".webp")


class SheetError(ValueError):
    """There is nothing to draw."""


def contact_sheet(
    paths: Sequence[Path],
    find: Find,
    *,
    num: int,
    seed: int,
    kind: str = "self_blended",
    broad: bool = False,
) -> np.ndarray:
    """Up to `num` pairs below one another.

    Args:
      paths: image files.
      find: the landmarks.
      num: rows.
      seed: of the choice of files and of every pair.
      kind: of `PAIRS`.
      broad: with the options of `BROAD`, not with the kind's own.

    Returns:
      uint8 RGB [rows · size, 3 · size, 3].

    Raises:
      SheetError: no face in any of them, or one alone where another is the donor.
    """
    order = np.random.default_rng(seed).permutation(len(paths))
    op: PairOp = broad_op(kind) if broad else PAIRS[kind]()
    faces: list[Example] = []
    for path, image, landmarks in read_faces([paths[i] for i in order], find):
        faces.append(Example(image, 0, landmarks))
        print(f"row {len(faces)}: {path}")
        if len(faces) == num:
            break
    if len(faces) < 1 + op.needs_donor:
        raise SheetError(f"{len(faces) or 'no'} face in {len(paths)} images")
    rows = []
    for i, face in enumerate(faces):
        draw = np.random.default_rng([seed, i])
        real, fake = op.pair(face, draw, faces[(i + 1) % len(faces)] if op.needs_donor else None)
        assert fake.mask is not None  # a pair's masks are there
        grey = cv2.cvtColor(fake.mask, cv2.COLOR_GRAY2RGB)
        rows.append(np.concatenate([real.image, fake.image, grey], axis=1))
    return np.concatenate(rows)


def image_files(folder: Path) -> list[Path]:
    """The images in a folder and those below it, in the order of their names.

    Raises:
      SheetError: there are none.
    """
    if not folder.is_dir():
        raise SheetError(f"no folder {folder}: --images names one with images of faces")
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in _SUFFIXES)
    if not paths:
        raise SheetError(f"no images in {folder}; looked for {', '.join(_SUFFIXES)}")
    return paths


def read_faces(paths: Sequence[Path], find: Find) -> Iterator[tuple[Path, np.ndarray, np.ndarray]]:
    """Path, image and landmarks of those of the files that are images with a face."""
    for path in paths:
        try:
            image = decode_still(path.read_bytes(), Limits())
        except VideoError:
            continue
        landmarks = find(image)
        if landmarks is not None:
            yield path, image, landmarks


def _run(values: flags.FlagValues, _: list[str]) -> None:
    folder, out = Path(values.images).expanduser(), Path(values.out).expanduser()
    if out.suffix.lower() not in _WRITTEN:
        raise SheetError(f"--out={out}: wanted a file that ends in {', '.join(_WRITTEN)}")
    paths = image_files(folder)
    find = landmark_finder(
        values.landmarks, _path(values.detector_weights), _path(values.landmark_weights)
    )
    sheet = contact_sheet(
        paths, find, num=values.num, seed=values.seed, kind=values.kind, broad=values.broad
    )
    with atomic_path(out) as temporary:
        if not cv2.imwrite(str(temporary), cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR)):
            raise SheetError(f"cannot write {out}")
    print(f"wrote {out}")


def _path(text: str | None) -> Path | None:
    return None if text is None else Path(text).expanduser()


def _define(values: flags.FlagValues) -> None:
    flags.DEFINE_string("images", None, "Folder.", required=True, flag_values=values)
    flags.DEFINE_string("out", None, "PNG file.", required=True, flag_values=values)
    flags.DEFINE_enum("kind", "self_blended", list(PAIRS), "Of fakes.", flag_values=values)
    flags.DEFINE_bool(
        "broad", False, "With resolution, scene and degradation drawn, too.", flag_values=values
    )
    flags.DEFINE_integer("num", 8, "Rows.", lower_bound=1, flag_values=values)
    flags.DEFINE_integer("seed", 0, "Of every draw.", lower_bound=0, flag_values=values)
    flags.DEFINE_enum(
        "landmarks",
        "yunet",
        list(FINDERS),
        "5 points and a mean face around them, or 468 of the face.",
        flag_values=values,
    )
    flags.DEFINE_string(
        "detector_weights", None, "YuNet's file; the package's own by default.", flag_values=values
    )
    flags.DEFINE_string(
        "landmark_weights", None, "The mesh's file; fetched once by default.", flag_values=values
    )


COMMAND = Command(
    program="python -m data_pipeline.training.blend.sheet",
    about=__doc__,
    define=_define,
    run=_run,
)

if __name__ == "__main__":
    sys.exit(COMMAND())
