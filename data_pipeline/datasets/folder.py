"""A folder of one's own: `real/…` and `fake/…`, or a CSV with path, label, video, split."""

from __future__ import annotations

import dataclasses
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from data_pipeline.datasets.base import SPLITS, DataSet, DataSetError, Listing, Video
from data_pipeline.datasets.files import IMAGE_SUFFIXES, VIDEO_SUFFIXES, entries_below, read_csv
from data_pipeline.datasets.splits import drawn_split
from data_pipeline.files import write_csv

_LABELS = {"real": 0, "0": 0, "fake": 1, "1": 1}
_COLUMNS = ("path", "label")
_OPTIONAL = ("video", "split", "subset", "compression", "original", "people")


def write_test_list(
    path: Path,
    files: Iterable[tuple[Path | str, int, str, str, str, str, Sequence[str]]],
) -> None:
    """Writes a CSV as `Folder` reads it; all of the split "test".

    Args:
      path: of the CSV.
      files: path, label (0 real, 1 fake), video, subset, compression, original and people of each.

    Raises:
      OSError: it can't be written.
    """
    write_csv(
        path,
        (*_COLUMNS, *_OPTIONAL),
        (
            (file, ("real", "fake")[label], video, "test", *about, " ".join(people))
            for file, label, video, *about, people in files
        ),
    )


@dataclasses.dataclass(frozen=True)
class Folder(DataSet):
    """`<root>/[train|val|test/]{real,fake}/…`, files at any depth, or `<root>` a CSV file.

    Links to folders are followed; what several of them lead to counts once.

    The id of a video is its path below the split folder's real/ or fake/, after the split's name.
    Without split folders, a video's split is drawn by its name: 80 % train, 10 % val, 10 % test,
    the same on every machine. Images in one folder below real/ or fake/ share a split, since they
    tend to be of one video; with `frames` they are one video.

    A CSV has the columns path (absolute, or relative to it) and label (real, fake, 0, 1), and may
    have video (an id, unique in its subset; default: the path), split, subset, compression,
    original (the id of the real video of the footage) and people (separated by spaces).

    Attributes:
      frames: whether a folder that holds images is one video's frames.
      seed: of the draw.
    """

    frames: bool = False
    seed: int = 0

    def list(self, root: Path, *, compression: str, splits: tuple[str, ...]) -> Listing:
        """See `DataSet.list`."""
        videos = self._from_csv(root) if root.suffix == ".csv" else self._from_folders(root)
        return Listing.of(v for v in videos if v.split in splits)

    def _from_folders(self, root: Path) -> tuple[Video, ...]:
        named = [s for s in SPLITS if (root / s).is_dir()]
        videos = []
        for split in named or [""]:
            for subset in ("real", "fake"):
                base = root / split / subset
                head = f"{split}/" if split else ""  # names are often counted anew in each
                for found, path in self._names(base).items():
                    name = source = head + found
                    if path.suffix.lower() in IMAGE_SUFFIXES and path.parent != base:
                        source = head + path.parent.relative_to(base).as_posix()
                    drawn = split or drawn_split(source, seed=self.seed)
                    label = _LABELS[subset]
                    videos.append(
                        Video(
                            *("folder", subset, "", drawn, name, source),
                            label,
                            path,
                            original="" if label else name,
                        )
                    )
        if not videos:
            raise DataSetError(
                f"no videos or images in {root}/real and {root}/fake (nor below train/, val/, "
                f"test/); known endings: {', '.join(sorted(VIDEO_SUFFIXES | IMAGE_SUFFIXES))}"
            )
        return tuple(videos)

    def _names(self, base: Path) -> dict[str, Path]:
        """Id -> path; endings are part of an id only where files differ in nothing else."""
        suffixes = VIDEO_SUFFIXES | IMAGE_SUFFIXES
        paths = [p for p in sorted(entries_below(base)) if p.suffix.lower() in suffixes]
        if self.frames:
            images = {p for p in paths if p.suffix.lower() in IMAGE_SUFFIXES and p.parent != base}
            paths = sorted({p.parent if p in images else p for p in paths})
        plain = [p if p.is_dir() else p.with_suffix("") for p in paths]
        same = Counter(plain)
        ids = [p if same[q] > 1 else q for p, q in zip(paths, plain, strict=True)]
        return {i.relative_to(base).as_posix(): p for i, p in zip(ids, paths, strict=True)}

    def _from_csv(self, path: Path) -> tuple[Video, ...]:
        hint = "--root is a folder, or a CSV file"
        reader = read_csv(path, hint, restkey="more", restval="")
        columns = reader.fieldnames or []
        unknown = sorted(set(columns) - {*_COLUMNS, *_OPTIONAL})
        if not set(_COLUMNS) <= set(columns) or unknown or len(set(columns)) < len(columns):
            raise DataSetError(
                f"{path} needs the columns path and label and may have {', '.join(_OPTIONAL)}; it "
                f"has {', '.join(columns) or 'none'}"
            )
        videos = []
        seen: dict[str, int] = {}
        for row in reader:
            line = f"{path}, line {reader.line_num}"
            video = self._from_row(path, line, row)
            for key, what in (
                (video.identity, f"video '{video.video_id}' of {video.subset}"),
                (str(video.path), f"file {video.path}"),
            ):
                if key in seen:
                    raise DataSetError(
                        f"{line}: {what} is already on line {seen[key]}; a video whose frames are "
                        "images is one row, whose path is their folder"
                    )
                seen[key] = reader.line_num
            videos.append(video)
        return tuple(videos)

    def _from_row(self, csv_path: Path, line: str, row: dict[str, str]) -> Video:
        if "more" in row:
            raise DataSetError(f"{line}: more cells than columns; put quotes around a comma")
        row = {name: cell.strip() for name, cell in row.items()}
        label = _LABELS.get(row["label"].lower())
        if label is None:
            raise DataSetError(f"{line}: label '{row['label']}' is none of {', '.join(_LABELS)}")
        if not row["path"] or "\0" in row["path"]:
            raise DataSetError(f"{line}: no path")
        file = Path(os.path.normpath(csv_path.parent.absolute() / row["path"]))
        video_id = row.get("video") or _without_suffix(row["path"])
        split = row.get("split") or drawn_split(row.get("original") or video_id, seed=self.seed)
        if split not in SPLITS:
            raise DataSetError(f"{line}: split '{split}' is none of {', '.join(SPLITS)}")
        original = row.get("original") or ("" if label else video_id)
        return Video(
            dataset="folder",
            subset=row.get("subset") or ("fake" if label else "real"),
            compression=row.get("compression", ""),
            split=split,
            video_id=video_id,
            source_id=original or video_id,
            label=label,
            path=file,
            original=original,
            people=tuple(row.get("people", "").split()),
        )


def _without_suffix(path: str) -> str:
    known = Path(path).suffix.lower() in VIDEO_SUFFIXES | IMAGE_SUFFIXES
    return Path(path).with_suffix("").as_posix() if known else path
