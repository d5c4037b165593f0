"""The faces that are swapped: files, whose they are, under which licence, and their landmarks."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from pathlib import Path

import cv2
import numpy as np

from data_pipeline.datasets.files import IMAGE_SUFFIXES, read_csv
from data_pipeline.landmarks.find import Find
from data_pipeline.training.blend.regions import LAYOUTS

_COLUMNS = ("path", "group", "person", "licence", "source")


class SwapError(ValueError):
    """Nothing can be swapped; the message says why."""


@dataclasses.dataclass(frozen=True)
class Source:
    """An image file.

    Attributes:
      name: of it in its set, unique; without suffix, levels joined by "_".
      path: of the file.
      person: who is seen.
      licence, origin: of the image, as its set states them; empty where nothing is stated.
      points: [K, 2], its dense landmarks in pixels, if they are known.
    """

    name: str
    path: Path
    person: str
    licence: str = ""
    origin: str = ""
    points: np.ndarray | None = None


@dataclasses.dataclass(frozen=True, eq=False)
class Face:
    """A face in an image.

    Attributes:
      image: uint8 RGB [H, W, 3].
      points: float32 [K, 2], dense landmarks in pixels.
    """

    image: np.ndarray
    points: np.ndarray


def sources_of_folder(root: Path) -> list[Source]:
    """The images of a folder: `PERSON/…`, or files whose every name is another person.

    Raises:
      SwapError: there are none.
    """
    suffixes = IMAGE_SUFFIXES
    paths = sorted(p for p in root.rglob("[!.]*") if p.suffix.lower() in suffixes)
    found = []
    for path in paths:
        inner = path.relative_to(root)
        person = inner.parts[0] if len(inner.parts) > 1 else inner.stem
        found.append(Source(_name(inner), path, "_".join(person.split())))
    if not found:
        raise SwapError(
            f"no images in {root}; looked for {', '.join(sorted(suffixes))}, as PERSON/… or one a "
            "person"
        )
    return _distinct(found, root)


def sources_of_manifest(root: Path, groups: Sequence[str]) -> list[Source]:
    """The images that `manifest.csv` of a set of portraits names, with `landmarks.npz` if it is.

    Args:
      root: the set's folder; the manifest has the columns path, group, person, licence, source.
      groups: whose images are taken.

    Raises:
      SwapError: no manifest, one without a column, or no image of these groups.
    """
    path = root / "manifest.csv"
    reader = read_csv(path, "--portraits names a folder with it")
    missing = sorted(set(_COLUMNS) - set(reader.fieldnames or ()))
    if missing:
        raise SwapError(f"{path} has no column {', '.join(missing)}; it needs {_COLUMNS}")
    rows = list(reader)
    points = _stored_landmarks(root / "landmarks.npz")
    found = [
        Source(
            _name(Path(row["path"])),
            root / row["path"],
            "_".join(row["person"].split()),
            row["licence"],
            row["source"],
            points.get(row["path"]),
        )
        for row in rows
        if row["group"] in groups
    ]
    if not found:
        known = ", ".join(sorted({row["group"] for row in rows}))
        raise SwapError(f"no images of group {', '.join(groups)} in {path}; it has {known}")
    return _distinct(found, root)


def read_face(source: Source, find: Find | None, *, scale: float) -> Face | None:
    """The face of an image, or None where the file cannot be read or shows none.

    Args:
      source: the image.
      find: dense landmarks, where they are not stored.
      scale: 0 to 1, that the image is shrunk by.
    """
    try:
        data = np.fromfile(source.path, np.uint8)
        image = cv2.imdecode(data, cv2.IMREAD_COLOR_RGB) if data.size else None
    except OSError:
        return None
    if image is None:
        return None
    points = source.points
    if points is None:
        points = find(image) if find else None
    if points is None or len(points) not in LAYOUTS or not np.isfinite(points).all():
        return None
    height, width = (max(round(n * scale), 1) for n in image.shape[:2])
    ratio = np.array([width, height]) / (image.shape[1], image.shape[0])
    if scale < 1:
        image = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    return Face(image, ((points + 0.5) * ratio - 0.5).astype(np.float32))


def _stored_landmarks(path: Path) -> dict[str, np.ndarray]:
    if not path.is_file():
        return {}
    with np.load(path) as stored:
        names, points = stored["path"], stored["points"]
    return {str(name): own for name, own in zip(names, points, strict=True)}


def _name(inner: Path) -> str:
    return "_".join(inner.with_suffix("").parts).replace(" ", "_")


def _distinct(found: Iterable[Source], root: Path) -> list[Source]:
    by_name: dict[str, Source] = {}
    for source in found:
        other = by_name.setdefault(source.name, source)
        if other is not source:
            raise SwapError(
                f"{root}: {other.path} and {source.path} would both be called {source.name}; "
                "rename one"
            )
    return list(by_name.values())
