"""What of a data set is there, what is missing, and what its splits share.

    python -m data_pipeline.check --dataset=ffpp --root=DIR [--compression=c23]

Ends with status 0 where the splits are clean, 2 where they share a video, footage or a person, and
1 where the data set cannot be read or nothing of it is there. Decodes nothing and writes nothing.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from absl import flags

from data_pipeline.commands import Command
from data_pipeline.datasets import SPLITS, DataSet, DataSetError, Video, open_data_set
from data_pipeline.datasets.leaks import KINDS, Leak, find_leaks
from data_pipeline.datasets.option_flags import (
    define_data_set_flags,
    define_option_flags,
    given_options,
    option_help,
)

_SHOWN = 5
_LABELS = ("real", "fake")
_PLURALS = {"video": "videos", "original": "originals", "person": "people"}
CLEAN, UNREADABLE, LEAKING = 0, 1, 2
"""Exit statuses."""


def check(
    data_set: DataSet,
    root: Path,
    *,
    compression: str = "c23",
    splits: tuple[str, ...] = SPLITS,
    strict: bool = False,
) -> tuple[str, int]:
    """A report and the exit status.

    Args:
      data_set: of `open_data_set`.
      root: its folder.
      compression: of FaceForensics++.
      splits: the splits to look at.
      strict: whether what the official split itself shares counts as a leak too.

    Raises:
      DataSetError: the data set cannot be read, or none of its videos is there.
    """
    listing = data_set.list(root, compression=compression, splits=splits)
    named = (*listing.present, *listing.missing)
    if not listing.present:
        first = f"; looked for {named[0].path}, …" if named else ""
        raise DataSetError(f"none of {len(named)} videos is below {root}{first}")
    lines = [f"{len(listing.present)} of {len(named)} videos are there", ""]
    lines += _table(listing.present, listing.missing)
    if listing.missing:
        lines += ["", f"missing: {len(listing.missing)} videos, such as"]
        lines += [f"  {video.path}" for video in listing.missing[:_SHOWN]]
    lines += ["", *(f"note: {note}" for note in listing.notes)] if listing.notes else []
    unexcused: list[tuple[Leak, str]] = []
    excused: list[tuple[Leak, str]] = []
    for leak in find_leaks(named):
        reason = "" if strict else data_set.excuse(leak.kind, leak.videos)
        (excused if reason else unexcused).append((leak, reason))
    for (kind, reason), leaks in _grouped(excused).items():
        lines += ["", *_told(kind, leaks, "note"), f"  {reason}; --strict makes this a leak"]
    for (kind, _), leaks in _grouped(unexcused).items():
        lines += ["", *_told(kind, leaks, "LEAK")]
    if not unexcused:
        lines += ["", "no leak: the splits share no video" + _checked(named)]
    return "\n".join(lines), LEAKING if unexcused else CLEAN


def _table(present: Sequence[Video], missing: Sequence[Video]) -> list[str]:
    counts = [
        Counter((v.split, v.subset, v.label) for v in videos) for videos in (present, missing)
    ]
    keys = sorted(counts[0] | counts[1], key=lambda key: (SPLITS.index(key[0]), key[2], key[1]))
    rows: list[tuple[str, ...]] = [("split", "subset", "label", "there", "missing")]
    for split, subset, label in keys:
        numbers = [str(count[split, subset, label]) for count in counts]
        rows.append((split, subset, _LABELS[label], *numbers))
    rows.append(("all", "", "", str(len(present)), str(len(missing))))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    aligned = [
        [
            c.rjust(w) if i > 2 else c.ljust(w)
            for i, (c, w) in enumerate(zip(row, widths, strict=True))
        ]
        for row in rows
    ]
    return ["  ".join(row) for row in aligned]


def _grouped(leaks: Iterable[tuple[Leak, str]]) -> dict[tuple[str, str], list[Leak]]:
    groups: dict[tuple[str, str], list[Leak]] = {}
    for leak, reason in leaks:
        groups.setdefault((leak.kind, reason), []).append(leak)
    return dict(sorted(groups.items(), key=lambda group: KINDS.index(group[0][0])))


def _told(kind: str, leaks: Sequence[Leak], heading: str) -> list[str]:
    noun = kind if len(leaks) == 1 else _PLURALS[kind]
    lines = [f"{heading}: {len(leaks)} {noun} in several splits"]
    for leak in leaks[:_SHOWN]:
        where = [next(v for v in leak.videos if v.split == split) for split in leak.splits]
        videos = ", ".join(f"{v.subset}/{v.video_id} in {v.split}" for v in where)
        lines.append(f"  {leak.what}: {videos}")
    return lines + (["  …"] if len(leaks) > _SHOWN else [])


def _checked(videos: Sequence[Video]) -> str:
    """What else the data set told, so that a check that had nothing to go by is not a promise."""
    originals = sum(bool(v.original) for v in videos)
    people = sum(bool(v.people) for v in videos)
    return (
        f" (the original is known of {originals} of {len(videos)} videos, the people of {people})"
    )


def _run(values: flags.FlagValues, _: list[str]) -> int:
    report, status = check(
        open_data_set(values.dataset, **given_options(values)),
        Path(values.root).expanduser().absolute(),
        compression=values.compression,
        splits=tuple(values.split or SPLITS),
        strict=values.strict,
    )
    print(report)
    return status


def _define(values: flags.FlagValues) -> None:
    define_data_set_flags(values)
    flags.DEFINE_bool(
        "strict",
        False,
        "Official splits that share people or footage leak, too.",
        flag_values=values,
    )
    define_option_flags(values)


COMMAND = Command(
    program="python -m data_pipeline.check",
    about=f"{__doc__}\n{option_help()}\n",
    define=_define,
    run=_run,
    errors=(DataSetError, OSError),
    status=UNREADABLE,
    usage_status=UNREADABLE,
)

if __name__ == "__main__":
    sys.exit(COMMAND())
