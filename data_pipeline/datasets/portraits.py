"""Portraits of real people in groups, with a manifest that names the person of each."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

from data_pipeline.datasets.base import DataSet, DataSetError, Listing, Video
from data_pipeline.datasets.files import inside, read_csv
from data_pipeline.datasets.splits import SHARES, drawn_split

_MANIFEST = "manifest.csv"
_COLUMNS = ("path", "group", "person")


@dataclasses.dataclass(frozen=True)
class Portraits(DataSet):
    """`manifest.csv` has the columns path (relative to it), group and person, and perhaps others.

    All are real: what is trained on them makes its fakes itself. A person is who bears one name, in
    whatever group. The people of a group are drawn among the splits that name the group, in the
    shares of 80 to 10 to 10; those of a group that none names, among all three. Groups that share
    people under different names belong into one split as a whole.

    Attributes:
      train_groups, val_groups, test_groups: of the splits, which name them.
      seed: of the draw.
    """

    train_groups: tuple[str, ...] = ()
    val_groups: tuple[str, ...] = ()
    test_groups: tuple[str, ...] = ()
    seed: int = 0

    def list(self, root: Path, *, compression: str, splits: tuple[str, ...]) -> Listing:
        """See `DataSet.list`."""
        rows = list(_rows(root / _MANIFEST))
        named = {"train": self.train_groups, "val": self.val_groups, "test": self.test_groups}
        groups = {row["group"] for row in rows}
        if unknown := sorted({group for names in named.values() for group in names} - groups):
            raise DataSetError(
                f"{root / _MANIFEST} has no group {', '.join(unknown)}; it has: "
                f"{', '.join(sorted(groups))}"
            )
        shares = {group: _shares([s for s in named if group in named[s]]) for group in groups}
        videos = [self._video(root, row, shares[row["group"]]) for row in rows]
        return Listing.of(video for video in videos if video.split in splits)

    def _video(self, root: Path, row: dict[str, str], shares: dict[str, float]) -> Video:
        name = Path(row["path"]).with_suffix("").as_posix()
        return Video(
            dataset="portraits",
            subset=row["group"],
            compression="",
            split=drawn_split(row["person"], shares, seed=self.seed),
            video_id=name,
            source_id=row["person"],
            label=0,
            path=inside(root, row["path"], root / _MANIFEST),
            original=name,
            people=(row["person"],),
        )


def _shares(splits: list[str]) -> dict[str, float]:
    """Those of `SHARES` that are of these splits, or of all where there are none."""
    some = {split: share for split, share in SHARES.items() if split in splits or not splits}
    return {split: share / sum(some.values()) for split, share in some.items()}


def _rows(manifest: Path) -> Iterator[dict[str, str]]:
    hint = "--root is a folder with portraits and their manifest.csv"
    reader = read_csv(manifest, hint, restval="")
    have = reader.fieldnames or []
    if not set(_COLUMNS) <= set(have):
        raise DataSetError(
            f"{manifest} needs the columns {', '.join(_COLUMNS)}; it has "
            f"{', '.join(have) or 'none'}. A folder of faces without one goes with "
            "--dataset=folder, below its real/"
        )
    seen: dict[str, int] = {}
    for row in reader:
        line = reader.line_num
        if empty := [name for name in _COLUMNS if not row[name].strip()]:
            raise DataSetError(f"{manifest}, line {line}: no {empty[0]}")
        name = Path(row["path"]).with_suffix("").as_posix()
        if name in seen:
            raise DataSetError(
                f"{manifest}, line {line}: {row['path']} is on line {seen[name]} already (names "
                "are told apart without their endings)"
            )
        seen[name] = line
        yield {name: row[name].strip() for name in _COLUMNS}
