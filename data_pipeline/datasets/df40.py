"""DF40: fakes of forty methods, made of FaceForensics++ and Celeb-DF."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from data_pipeline.datasets.base import SPLITS, DataSet, DataSetError, Listing, Video
from data_pipeline.datasets.celeb_df import CelebDFv2
from data_pipeline.datasets.ffpp import FaceForensics, read_pairs
from data_pipeline.datasets.files import videos_in

_DOMAINS = ("ff", "cdf")


@dataclasses.dataclass(frozen=True)
class DF40(DataSet):
    """`<method>/{ff,cdf}/`: videos, or a folder of cropped frames a video, also below `frames/`.

    The release has fakes only. Reals and FaceForensics++'s splits, which hold for `ff`, come from
    copies of those data sets. `cdf` is for tests, with the reals of Celeb-DF's official test list.
    Subsets are like `simswap_ff`; a fake `001_002` is the footage of `001`.

    Attributes:
      methods: folders below the root; default: all that hold `ff` or `cdf`.
      ffpp: FaceForensics++'s folder; by default `FaceForensics++/` in the root.
      celeb_df: Celeb-DF v2's folder; by default `Celeb-DF-v2/` in the root.
    """

    methods: tuple[str, ...] = ()
    ffpp: str = ""
    celeb_df: str = ""

    def list(self, root: Path, *, compression: str, splits: tuple[str, ...]) -> Listing:
        """See `DataSet.list`."""
        methods = self._methods(root)
        ffpp = Path(self.ffpp).expanduser() if self.ffpp else root / "FaceForensics++"
        celeb = Path(self.celeb_df).expanduser() if self.celeb_df else root / "Celeb-DF-v2"
        videos: list[Video] = []
        notes: list[str] = []
        split_of: dict[str, str] = {}
        if any(_domain(folder, "ff").is_dir() for folder in methods.values()):
            for split in SPLITS:
                split_of |= {n: split for pair in read_pairs(ffpp, split) for n in pair}
            reals = FaceForensics(()).list(ffpp, compression=compression, splits=splits)
            videos += _renamed((*reals.present, *reals.missing), "ff")
        if any(_domain(folder, "cdf").is_dir() for folder in methods.values()):
            tests = CelebDFv2().list(celeb, compression="", splits=("test",))
            reals_of_test = [v for v in (*tests.present, *tests.missing) if v.label == 0]
            videos += [v for v in _renamed(reals_of_test, "cdf") if v.split in splits]
        for method, folder in methods.items():
            found, unknown = _fakes(method, folder, split_of)
            videos += [v for v in found if v.split in splits]
            if unknown:
                notes.append(f"{unknown} videos of {method}/ff are left out: no split names them")
        return Listing.of(videos, notes)

    def _methods(self, root: Path) -> dict[str, Path]:
        folders = sorted(root.iterdir()) if root.is_dir() else []
        found = {f.name: f for f in folders if any(_domain(f, d).is_dir() for d in _DOMAINS)}
        absent = sorted(set(self.methods) - set(found))
        if not found or absent:
            raise DataSetError(
                f"no method {', '.join(absent)} with a folder ff or cdf in {root}; there are "
                f"{', '.join(found) or 'none'}"
            )
        return {name: f for name, f in found.items() if not self.methods or name in self.methods}


def _domain(folder: Path, domain: str) -> Path:
    """`<method>/<domain>`; some archives hold the method's folder twice."""
    twice = folder / folder.name / domain
    return twice if twice.is_dir() else folder / domain


def _renamed(videos: Iterable[Video], domain: str) -> Iterator[Video]:
    for video in videos:
        subset = f"real_{domain}" if domain == "ff" else video.subset
        yield dataclasses.replace(video, dataset="df40", subset=subset, compression="")


def _fakes(method: str, folder: Path, split_of: dict[str, str]) -> tuple[list[Video], int]:
    """The fakes of a method, and how many have no split."""
    videos, unknown = [], 0
    for domain in _DOMAINS:
        place = _domain(folder, domain)
        found = {p.name: p for p in sorted(place.glob("*")) if p.is_dir() and p.name != "frames"}
        for name, path in (found | videos_in(place)).items():
            people, original = _origin(name, domain)
            split = "test" if domain == "cdf" else split_of.get(original)
            if split is None:
                unknown += 1
                continue
            videos.append(
                Video(
                    dataset="df40",
                    subset=f"{method}_{domain}",
                    compression="",
                    split=split,
                    video_id=name,
                    source_id=original or name,
                    label=1,
                    path=path,
                    original=original,
                    people=people,
                )
            )
    return videos, unknown


def _origin(name: str, domain: str) -> tuple[tuple[str, ...], str]:
    """People and original, as the names of FaceForensics++ and Celeb-DF tell them."""
    pattern, original = (
        (r"(\d{3})(?:_(\d{3}))?.*", r"\1")
        if domain == "ff"
        else (r"(id\d+)(?:_(id\d+))?_(\d+).*", r"\1_\3")
    )
    match = re.fullmatch(pattern, name)
    if match is None:
        return (), ""
    return tuple(person for person in match.groups()[:2] if person), match.expand(original)
