"""Who trains a detector, by whom it is chosen, and by whom it is judged: three sets of people.

They are the splits of the data set `portraits`, a pure function of (seed, person): whoever is in
one is in no other, whatever is made of their photos.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

from data_pipeline.datasets.base import DataSetError
from data_pipeline.datasets.portraits import Portraits
from data_pipeline.swaps.portraits import Source, sources_of_manifest

CHOOSE, GATE = "choose", "gate"
PARTS = {CHOOSE: "val", GATE: "test"}
"""A part of the benchmark: the split whose people it is of."""


@dataclasses.dataclass(frozen=True)
class People:
    """Groups of a manifest, by what their people are for.

    The judging groups are drawn half and half into *choose* and *gate*. A group that both trains
    and judges is refused: nobody who is judged by may have been trained on.

    Attributes:
      train: groups that are trained on.
      swapped: judging groups whose people get each other's faces.
      real: judging groups of photos alone.
      seed: of the draw.

    Raises:
      DataSetError: a group has two tasks, or nobody is swapped.
    """

    train: tuple[str, ...] = ("congress", "members")
    swapped: tuple[str, ...] = ("london",)
    real: tuple[str, ...] = ("westminster",)
    seed: int = 0

    def __post_init__(self) -> None:
        named = [*self.train, *self.swapped, *self.real]
        if twice := sorted({name for name in named if named.count(name) > 1}):
            raise DataSetError(
                f"group {', '.join(twice)} has two tasks; it can train, be swapped, or be real "
                "photos to judge by"
            )
        if not self.swapped:
            raise DataSetError("no group is swapped: then there are no fakes to judge by")

    @property
    def data_set(self) -> Portraits:
        """Whose split "train" is of `train`; "val" is choose and "test" is gate."""
        judging = (*self.swapped, *self.real)
        return Portraits(self.train, judging, judging, self.seed)

    def sources(self, root: Path, part: str, group: str) -> list[Source]:
        """The photos of a group that belong to a part.

        Args:
          root: folder of the portraits, with `manifest.csv`.
          part: of `PARTS`.
          group: one of those that judge.

        Raises:
          DataSetError, SwapError: no manifest, or no such group.
        """
        listing = self.data_set.list(root, compression="", splits=(PARTS[part],))
        own = {video.path.resolve() for video in (*listing.present, *listing.missing)}
        return [
            source for source in sources_of_manifest(root, (group,)) if source.path.resolve() in own
        ]
