"""DeepfakeBench's JSON lists with its folders of cropped frames."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from data_pipeline.datasets.base import SPLITS, DataSet, DataSetError, Listing, Video
from data_pipeline.datasets.files import inside, read_json

_REAL = re.compile(r".*real", re.IGNORECASE)
_FAKE = re.compile(r".*fake[ab]?|ff-(df|f2f|fs|nt|fh)|faceshifter", re.IGNORECASE)


@dataclasses.dataclass(frozen=True)
class DeepfakeBench(DataSet):
    """`*.json` in `<root>/dataset_json`, or in `<root>`, and the folders of frames they name.

    A file is {data set: {label: {split: {[compression:] {video: {label, frames}}}}}}. Its paths are
    those of the machine that wrote it: their first folders are dropped, as many as it takes to find
    the first video below `<root>`, the same number for the whole file.

    Some files name a video in several splits (Celeb-DF's train has the test videos too, the three
    splits of DeepFakeDetection are the same): it is in the last of train, val, test, and `notes`
    counts them. A video that several files name, as the reals of FF-DF and FF-F2F, is one.

    Attributes:
      lists: names of the files, without ending, such as "FF-DF"; default: all.
      json_folder: where they are.
    """

    overlap: ClassVar[Mapping[str, str]] = {
        "original": "Celeb-DF's official test list names single videos",
        "person": "Celeb-DF's official test list names single videos",
    }

    lists: tuple[str, ...] = ()
    json_folder: str = ""

    def list(self, root: Path, *, compression: str, splits: tuple[str, ...]) -> Listing:
        """See `DataSet.list`."""
        latest: dict[str, Video] = {}
        moved: set[str] = set()
        for path in self._files(root):
            for video in _videos(root, path, compression):
                known = latest.setdefault(video.identity, video)
                if known.split != video.split:
                    moved.add(video.identity)
                    latest[video.identity] = max(known, video, key=lambda v: SPLITS.index(v.split))
        notes = [f"{len(moved)} videos are named in several splits; each is in the last of them"]
        kept = (v for v in latest.values() if v.split in splits)
        return Listing.of(kept, notes if moved else ())

    def excuse(self, kind: str, videos: Sequence[Video]) -> str:
        """See `DataSet.excuse`; of its data sets, only Celeb-DF has such an overlap."""
        celeb = all(video.subset.startswith("Celeb") for video in videos)
        return super().excuse(kind, videos) if celeb else ""

    def _files(self, root: Path) -> tuple[Path, ...]:
        folder = Path(self.json_folder).expanduser() if self.json_folder else root / "dataset_json"
        if not folder.is_dir() and not self.json_folder:
            folder = root
        files = {path.stem: path for path in sorted(folder.glob("*.json"))}
        absent = sorted(set(self.lists) - set(files))
        if not files or absent:
            wanted = ", ".join(absent) or "list"
            raise DataSetError(
                f"no {wanted} among DeepfakeBench's lists in {folder}, which holds "
                f"{', '.join(files) or 'no *.json'}; json_folder says where they are"
            )
        return tuple(files[name] for name in self.lists or files)


def _videos(root: Path, path: Path, compression: str) -> Iterator[Video]:
    dropped: int | None = None
    for label, split, level, name, entry in _entries(path):
        if level and level != compression:
            continue
        frames = entry.get("frames")
        if not isinstance(frames, list) or not all(isinstance(f, str) for f in frames):
            raise DataSetError(f"{path}: video {name} of {label} has no list of frames")
        for folder in sorted({_folder(frame) for frame in frames}):
            if dropped is None:
                dropped = _dropped(root, folder)
            parts = folder[dropped:] or folder[-1:]
            place = inside(root, "/".join(parts), path)
            single = len({_folder(frame) for frame in frames}) == 1
            yield _video(
                place, label, split, level, name if single else f"{name}/{folder[-1]}", path
            )


def _entries(path: Path) -> Iterator[tuple[str, str, str, str, dict[str, Any]]]:
    """(label, split, compression or "", video, entry) of a file."""
    content = read_json(path, "DeepfakeBench's rearrange.py writes it")
    for dataset, labels in _items(content, path, "the file"):
        for label, by_split in _items(labels, path, dataset):
            for split, videos in _items(by_split, path, label):
                if split not in SPLITS:
                    raise DataSetError(
                        f"{path}: split {split!r} of {label} is not train, val, test"
                    )
                for name, entry in _items(videos, path, f"{label}/{split}"):
                    if isinstance(entry, dict) and "frames" in entry:
                        yield label, split, "", name, entry
                        continue
                    for video, inner in _items(entry, path, f"{label}/{split}/{name}"):
                        if not isinstance(inner, dict):
                            raise DataSetError(f"{path}: {label}/{split}/{name} names no videos")
                        yield label, split, name, video, inner


def _items(value: Any, path: Path, where: str) -> Any:
    if not isinstance(value, dict):
        raise DataSetError(
            f"{path} is no list of DeepfakeBench's, {{data set: {{label: {{split: {{video: "
            f"{{label, frames}}}}}}}}}}: {where} is {type(value).__name__}"
        )
    return value.items()


def _folder(frame: str) -> tuple[str, ...]:
    """The folders of a frame's path, which Windows may have written."""
    return tuple(part for part in frame.replace("\\", "/").split("/") if part not in ("", "."))[:-1]


def _dropped(root: Path, folder: tuple[str, ...]) -> int | None:
    found = (n for n in range(len(folder)) if (root / "/".join(folder[n:])).is_dir())
    return next(found, None)


def _video(place: Path, label: str, split: str, level: str, name: str, path: Path) -> Video:
    if not (_REAL.fullmatch(label) or _FAKE.fullmatch(label)):
        raise DataSetError(f"{path}: label {label!r} does not tell real or fake")
    fake = not _REAL.fullmatch(label)
    people, original = _origin(label, name)
    return Video(
        dataset="deepfakebench",
        subset=label,
        compression=level,
        split=split,
        video_id=name,
        source_id=original or name,
        label=int(fake),
        path=place,
        original=original if fake else original or name,
        people=people,
    )


def _origin(label: str, name: str) -> tuple[tuple[str, ...], str]:
    """People and original, where names of the data set tell them."""
    pattern, original = {
        "FF": (r"(\d{3})(?:_(\d{3}))?", r"\1"),
        "Ce": (r"(id\d+)(?:_(id\d+))?_(\d+)", r"\1_\3"),
        "DF": (r"(\d+)(?:_(\d+))?__(\w+?)(?:__\w{8})?", r"\1__\3"),
    }.get(label[:2], ("", ""))
    match = re.fullmatch(pattern, name) if pattern else None
    if match is None:
        return (), ""
    return tuple(person for person in match.groups()[:2] if person), match.expand(original)
