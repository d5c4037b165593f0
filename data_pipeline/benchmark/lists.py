"""What a part of the benchmark consists of: a row a photo, swap or video, of known people."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

from data_pipeline.datasets import SPLITS, DataSetError, open_data_set
from data_pipeline.datasets.files import IMAGE_SUFFIXES, entries_below
from data_pipeline.datasets.folder import write_test_list
from data_pipeline.swaps.lists import Item

PHOTOS = "photos"
"""The group of photos that are of no manifest."""


@dataclasses.dataclass(frozen=True)
class Row:
    """A photo, swap or video.

    Attributes:
      path: absolute.
      label: 0 real, 1 fake.
      name: unique within subset and compression.
      subset: "real", or the kind of fake.
      compression: as it was stored.
      original: name of the real one that a fake was made of, a real one's own.
      group: whose people it shows.
      people: the one who is seen first; names of their group.
    """

    path: Path
    label: int
    name: str
    subset: str
    compression: str
    original: str
    group: str
    people: tuple[str, ...]

    @property
    def person(self) -> str:
        """Who is seen, in a fake: on whose body; unique over all groups."""
        name = self.people[0] if self.people else self.original or self.name
        return name if name.startswith(f"{self.group}:") else f"{self.group}:{name}"


def image_rows(items: Sequence[Item], folder: Path, group: str, compression: str) -> list[Row]:
    """Rows of what `data_pipeline.swaps` made in a folder."""
    return [
        Row(
            path=(folder / item.path).absolute(),
            label=item.label,
            name=item.name,
            subset=item.subset,
            compression=compression,
            original=item.made_of[0].name,
            group=group,
            people=tuple(source.person for source in item.made_of),
        )
        for item in items
    ]


def video_rows(roots: Mapping[str, Path]) -> list[Row]:
    """Rows of all videos that are there of some data sets, fakes and reals.

    Args:
      roots: name of a data set -> its folder, in its official layout.

    Raises:
      DataSetError: a folder is not laid out as the data set is.
    """
    return [
        Row(
            path=video.path.absolute(),
            label=video.label,
            name=video.video_id,
            subset=video.subset,
            compression=video.compression,
            original=video.original or (video.source_id if video.label else video.video_id),
            group=name,
            people=video.people[:1] or (video.source_id,),
        )
        for name, root in roots.items()
        for video in open_data_set(name).list(root, compression="c23", splits=SPLITS).present
    ]


def photo_rows(folder: Path) -> list[Row]:
    """Rows of all images in a folder and below: photos as they are, each of somebody else.

    Raises:
      DataSetError: there are none.
    """
    paths = [p for p in sorted(entries_below(folder)) if p.suffix.lower() in IMAGE_SUFFIXES]
    if not paths:
        raise DataSetError(
            f"no photos in {folder}; known endings: {', '.join(sorted(IMAGE_SUFFIXES))}"
        )
    names = [path.relative_to(folder).as_posix() for path in paths]
    return [
        Row(
            path=path.absolute(),
            label=0,
            name=f"{PHOTOS}/{name}",
            subset="real",
            compression="as_is",
            original=f"{PHOTOS}/{name}",
            group=PHOTOS,
            people=(f"{PHOTOS}:{'_'.join(name.split())}",),  # a list has spaces between people
        )
        for path, name in zip(paths, names, strict=True)
    ]


def write_list(path: Path, rows: Sequence[Row]) -> None:
    """Writes what `prepare --dataset=folder` reads; all of the split "test".

    Raises:
      OSError: the file can't be written.
    """
    write_test_list(
        path,
        (
            (
                *(row.path, row.label, row.name, row.subset, row.compression),
                row.original,
                row.people,
            )
            for row in rows
        ),
    )
