"""What stands beside the images: the list that `prepare` reads, sources and licences."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from data_pipeline.datasets.folder import write_test_list
from data_pipeline.files import atomic_file, write_csv
from data_pipeline.swaps.portraits import Source

_NOT_STATED = "not stated"


@dataclasses.dataclass(frozen=True)
class Item:
    """An image of the benchmark.

    Attributes:
      path: relative to its folder.
      name: of the image, unique.
      subset: "real", or the kind of fake.
      made_of: the image that it is, or the target's and the donor's.
    """

    path: str
    name: str
    subset: str
    made_of: tuple[Source, ...]

    @property
    def label(self) -> int:
        """0 real, 1 fake."""
        return int(len(self.made_of) > 1)

    @property
    def person(self) -> str:
        """Whose photo it is, or was: the target's."""
        return self.made_of[0].person


def write_lists(items: Sequence[Item], out: Path, *, compression: str) -> None:
    """Writes `swaps.csv`, `LICENCES.csv` and `LICENCES.md` in a folder.

    All images are of the split "test". A fake's original is its target; its people are both.

    Args:
      items: all images.
      out: the folder.
      compression: how they are stored.

    Raises:
      OSError: a file can't be written.
    """
    write_test_list(
        out / "swaps.csv",
        (
            (
                *(item.path, item.label, item.name, item.subset, compression),
                item.made_of[0].name,
                [source.person for source in item.made_of],
            )
            for item in items
        ),
    )
    write_csv(
        out / "LICENCES.csv",
        ("path", "change", "licence", "source"),
        (
            (
                item.path,
                ("none but how it is stored", "face altered")[item.label],
                _joined([source.licence or _NOT_STATED for source in item.made_of]),
                _joined([source.origin or str(source.path) for source in item.made_of]),
            )
            for item in items
        ),
    )
    licences = Counter(source.licence or _NOT_STATED for item in items for source in item.made_of)
    lines = [
        "# Altered images of real people",
        "",
        "The images outside `real/` are fakes: each shows a face that nobody has, made of photos",
        "of two people to test detectors of such fakes. Don't show them as photos of these people.",
        "Those in `real/` are as they were, but for how they are stored.",
        "",
        "The licences of the photos that they are made of hold for them, and ask for attribution",
        "and a note of the change where they say so. `LICENCES.csv` has them image by image:",
        "",
        *(f"- {licence}" for licence in sorted(licences)),
        "",
    ]
    with atomic_file(out / "LICENCES.md") as file:
        file.write("\n".join(lines))


def _joined(texts: Sequence[str]) -> str:
    return " | ".join(dict.fromkeys(texts))
