"""FaceForensics++ in its official layout, with its official splits."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

from data_pipeline.datasets.base import DataSet, DataSetError, Listing, Video
from data_pipeline.datasets.deepfakedetection import DeepFakeDetection
from data_pipeline.datasets.ffpp_files import check_compression, compression_name, ffpp_path, mask
from data_pipeline.datasets.files import read_json

MANIPULATIONS = ("Deepfakes", "Face2Face", "FaceSwap", "NeuralTextures")
"""The four that the paper trains on."""
PAIRED = (*MANIPULATIONS, "FaceShifter")
ALL = (*PAIRED, "DeepFakeDetection")


@dataclasses.dataclass(frozen=True)
class FaceForensics(DataSet):
    """`<root>/{original,manipulated}_sequences/…/<compression>/videos/*.mp4`.

    A pair (a, b) of a split file stands for the real videos a and b and, for each manipulation,
    the fakes a_b and b_a: the face of the second in the video of the first. DeepFakeDetection has
    no pairs: where it is among the manipulations, `DeepFakeDetection` lists it and its own reals.

    Attributes:
      manipulations: of `ALL`.
    """

    manipulations: tuple[str, ...] = MANIPULATIONS

    def list(self, root: Path, *, compression: str, splits: tuple[str, ...]) -> Listing:
        """See `DataSet.list`."""
        check_compression(compression)
        unknown = sorted(set(self.manipulations) - set(ALL))
        if unknown:
            raise DataSetError(f"no manipulation {', '.join(unknown)}; there are {', '.join(ALL)}")
        videos = [v for split in splits for v in self._videos(root, compression, split)]
        if "DeepFakeDetection" not in self.manipulations:
            return Listing.of(videos)
        more = DeepFakeDetection().list(root, compression=compression, splits=splits)
        return Listing.of((*videos, *more.present, *more.missing), more.notes)

    def _videos(self, root: Path, compression: str, split: str) -> Iterator[Video]:
        for first, second in read_pairs(root, split):
            for own, other in ((first, second), (second, first)):
                yield ffpp_video(root, "youtube", compression, split, own)
                for manipulation in self.manipulations:
                    if manipulation in PAIRED:
                        name = f"{own}_{other}"
                        yield ffpp_video(root, manipulation, compression, split, name)


def ffpp_video(root: Path, subset: str, compression: str, split: str, name: str) -> Video:
    """A real video `NNN` of subset "youtube", or a fake `NNN_MMM` of a manipulation."""
    people = tuple(name.split("_"))
    return Video(
        dataset="ffpp",
        subset=subset,
        compression=compression_name(compression),
        split=split,
        video_id=name,
        source_id=people[0],
        label=int(subset != "youtube"),
        path=ffpp_path(root, subset, compression, name),
        original=people[0],
        people=people,
        mask=mask(root, subset, name),
    )


def read_pairs(root: Path, split: str) -> list[tuple[str, str]]:
    """The pairs of ids of an official split file.

    Raises:
      DataSetError: there is none, or it has another shape.
    """
    candidates = [root / "splits" / f"{split}.json", root / f"{split}.json"]
    path = next((p for p in candidates if p.is_file()), candidates[0])
    pairs = read_json(
        path,
        f"it comes with FaceForensics++ (here or as {candidates[1]}); is --root the folder that "
        "holds original_sequences/?",
    )
    if not isinstance(pairs, list):
        raise DataSetError(f"{path} is not a list of pairs of video ids")
    for number, pair in enumerate(pairs, start=1):
        named = isinstance(pair, list) and len(pair) == 2 and all(isinstance(n, str) for n in pair)
        if not named or not all(name.isdecimal() for name in pair):
            raise DataSetError(
                f'{path} is not a list of pairs of video ids such as ["071", "054"]: '
                f"entry {number} is {str(pair)[:60]}"
            )
    return [(first, second) for first, second in pairs]
