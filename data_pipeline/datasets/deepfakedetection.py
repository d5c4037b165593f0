"""DeepFakeDetection, Google's and Jigsaw's addition to FaceForensics++, which has no split."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from data_pipeline.datasets.base import DataSet, DataSetError, Listing, Video
from data_pipeline.datasets.ffpp_files import (
    COMPRESSIONS,
    check_compression,
    compression_name,
    mask,
    subset_folder,
)
from data_pipeline.datasets.files import require_folder, videos_in
from data_pipeline.datasets.splits import people_split

PROTOCOLS = ("actors", "test")


@dataclasses.dataclass(frozen=True)
class DeepFakeDetection(DataSet):
    """`original_sequences/actors` and `manipulated_sequences/DeepFakeDetection`.

    Real videos are `<actor>__<scene>`, fakes `<target>_<source>__<scene>__<8 characters>`. There
    is no list: what is there is all that is known, so none is ever missing.

    Attributes:
      protocol: "actors" draws each actor's split (shares 0.7, 0.15, 0.15) and leaves out the fakes
        whose two actors are in different ones; "test" has every video in test, as papers do that
        train on the other manipulations.
      seed: of the draw; with the default, of 28 actors 20, 4 and 4 are in train, val and test.
    """

    protocol: str = "actors"
    seed: int = 6

    def list(self, root: Path, *, compression: str, splits: tuple[str, ...]) -> Listing:
        """See `DataSet.list`."""
        check_compression(compression)
        if self.protocol not in PROTOCOLS:
            raise DataSetError(f"protocol is one of {', '.join(PROTOCOLS)}; got '{self.protocol}'")
        subsets = {"actors": 0, "DeepFakeDetection": 1}
        folders = [str(subset_folder(Path(), subset)) for subset in subsets]
        require_folder(root, *folders, data_set="DeepFakeDetection")
        videos, mixed = [], 0
        for subset, label in subsets.items():
            found: dict[str, Path] = {}
            for alias in reversed(COMPRESSIONS[compression]):
                found |= videos_in(subset_folder(root, subset) / alias)
            for name, path in found.items():
                actors, original = _parse(name, path)
                split = "test" if self.protocol == "test" else self._split(actors)
                if split is None:
                    mixed += 1
                    continue
                videos.append(
                    Video(
                        dataset="deepfakedetection",
                        subset=subset,
                        compression=compression_name(compression),
                        split=split,
                        video_id=name,
                        source_id=actors[0],
                        label=label,
                        path=path,
                        original=original,
                        people=actors,
                        mask=mask(root, subset, name),
                    )
                )
        notes = [f"{mixed} fakes are left out: their two actors are in different splits"]
        return Listing.of((v for v in videos if v.split in splits), notes if mixed else ())

    def _split(self, actors: tuple[str, ...]) -> str | None:
        shares = {"train": 0.7, "val": 0.15, "test": 0.15}
        return people_split([f"dfd{actor}" for actor in actors], shares, self.seed)


def _parse(name: str, path: Path) -> tuple[tuple[str, ...], str]:
    """The actors, that of the footage first, and the real video of the footage."""
    actors, *rest = name.split("__")
    if not rest or not all(actor.isdecimal() for actor in actors.split("_")):
        raise DataSetError(f"{path}: DeepFakeDetection's names are like 01__exit_phone_room")
    people = tuple(actors.split("_"))
    return people, f"{people[0]}__{rest[0]}"
