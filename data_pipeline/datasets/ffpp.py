"""FaceForensics++ in its official layout, with its official splits."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path

from data_pipeline.datasets.base import DataSetError, Listing, Video

MANIPULATIONS = ("Deepfakes", "Face2Face", "FaceSwap", "NeuralTextures")
"""The four that the paper trains on."""
OTHERS = ("FaceShifter",)
COMPRESSIONS = {"raw": ("raw", "c0"), "c0": ("raw", "c0"), "c23": ("c23",), "c40": ("c40",)}


@dataclasses.dataclass(frozen=True)
class FaceForensics:
    """`<root>/{original,manipulated}_sequences/…/<compression>/videos/*.mp4`.

    A pair (a, b) of a split file stands for the real videos a and b and, for each manipulation,
    the fakes a_b and b_a: the face of the second in the video of the first.
    """

    manipulations: tuple[str, ...] = MANIPULATIONS

    def list(self, root: Path, *, compression: str, splits: tuple[str, ...]) -> Listing:
        """See `DataSet.list`."""
        if compression not in COMPRESSIONS:
            known = ", ".join(COMPRESSIONS)
            raise DataSetError(f"FaceForensics++ has compressions {known}; got '{compression}'")
        unknown = sorted(set(self.manipulations) - set(MANIPULATIONS + OTHERS))
        if unknown:
            raise DataSetError(
                f"no manipulation {', '.join(unknown)}; there are "
                f"{', '.join(MANIPULATIONS + OTHERS)}"
            )
        videos = [v for split in splits for v in self._videos(root, compression, split)]
        return Listing.of(videos)

    def _videos(self, root: Path, compression: str, split: str) -> Iterator[Video]:
        for first, second in _pairs(root, split):
            for own, other in ((first, second), (second, first)):
                folder = root / "original_sequences" / "youtube"
                yield _video(folder, compression, split, own, own, label=0)
                for manipulation in self.manipulations:
                    folder = root / "manipulated_sequences" / manipulation
                    yield _video(folder, compression, split, f"{own}_{other}", own, label=1)


def _video(folder: Path, compression: str, split: str, name: str, source: str, *, label: int):
    folders = [folder / alias / "videos" for alias in COMPRESSIONS[compression]]
    files = [f / f"{name}.mp4" for f in folders]
    return Video(
        dataset="ffpp",
        subset=folder.name,
        compression="raw" if compression == "c0" else compression,
        split=split,
        video_id=name,
        source_id=source,
        label=label,
        path=next((f for f in files if f.is_file()), files[0]),
    )


def _pairs(root: Path, split: str) -> list[tuple[str, str]]:
    candidates = [root / "splits" / f"{split}.json", root / f"{split}.json"]
    path = next((p for p in candidates if p.is_file()), None)
    if path is None:
        raise DataSetError(
            f"no split file {candidates[0]} (nor {candidates[1].name} in {root}): it comes with "
            "FaceForensics++; is --root the folder that holds original_sequences/?"
        )
    try:
        pairs = [(str(a), str(b)) for a, b in json.loads(path.read_text())]
    except (ValueError, TypeError) as error:
        raise DataSetError(f"{path} is not a list of pairs of video ids: {error}") from error
    return pairs
