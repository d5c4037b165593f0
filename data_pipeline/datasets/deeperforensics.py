"""DeeperForensics-1.0: fakes made of FaceForensics++'s real videos, with its official split."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

from data_pipeline.datasets.base import DataSet, DataSetError, Listing, Video
from data_pipeline.datasets.ffpp_files import ffpp_path
from data_pipeline.datasets.files import located, read_text, require_folder

VARIANTS = (
    "end_to_end",
    *(f"end_to_end_level_{level}" for level in range(1, 6)),
    "end_to_end_random_level",
    *(f"end_to_end_mix_{number}_distortions" for number in (2, 3, 4)),
    "reenact_postprocess",
)


@dataclasses.dataclass(frozen=True)
class DeeperForensics(DataSet):
    """`manipulated_videos/<variant>/<target>_<source>.mp4` and `lists/splits/*.txt`.

    The real video of a fake is FaceForensics++'s `<target>` at c23, not one of `source_videos`,
    which show the actors whose faces were taken.

    Attributes:
      variants: of `VARIANTS`.
      ffpp: FaceForensics++'s folder; by default `ffpp/` in the root.
    """

    variants: tuple[str, ...] = ("end_to_end",)
    ffpp: str = ""

    def list(self, root: Path, *, compression: str, splits: tuple[str, ...]) -> Listing:
        """See `DataSet.list`."""
        unknown = sorted(set(self.variants) - set(VARIANTS))
        if unknown:
            raise DataSetError(f"no variant {', '.join(unknown)}; there are {', '.join(VARIANTS)}")
        require_folder(root, "manipulated_videos", data_set="DeeperForensics-1.0")
        videos = []
        for split in splits:
            for target, source in _names(root / "lists" / "splits" / f"{split}.txt"):
                videos.append(self._real(root, split, target))
                for variant in self.variants:
                    videos.append(_fake(root, variant, split, target, source))
        return Listing.of(videos)

    def _real(self, root: Path, split: str, target: str) -> Video:
        ffpp = Path(self.ffpp).expanduser() if self.ffpp else root / "ffpp"
        return _video("youtube", split, target, (), 0, ffpp_path(ffpp, "youtube", "c23", target))


def _fake(root: Path, variant: str, split: str, target: str, source: str) -> Video:
    name = f"{target}_{source}"
    path = located(root / "manipulated_videos" / variant, name)
    return _video(variant, split, name, (source,), 1, path)


def _video(
    subset: str, split: str, name: str, actors: tuple[str, ...], label: int, path: Path
) -> Video:
    target = name[:3]
    return Video(
        dataset="deeperforensics",
        subset=subset,
        compression="",
        split=split,
        video_id=name,
        source_id=target,
        label=label,
        path=path,
        original=target,
        people=(target, *actors),
    )


def _names(path: Path) -> list[tuple[str, str]]:
    """(target, source) of each line, without what comes twice in the file."""
    lines = read_text(path, "it comes with DeeperForensics-1.0").split()
    names = []
    for line in dict.fromkeys(lines):
        match = re.fullmatch(r"(?:[\w-]+/)*(\d{3})_([A-Za-z]\d+)(?:\.mp4)?", line)
        if match is None:
            raise DataSetError(f"{path}: {line[:80]!r} is not like 000_M101.mp4")
        names.append((match[1], match[2]))
    return names
