"""Makes a benchmark of classical face swaps: Poisson-blended warps, pastes, splices.

    python -m data_pipeline.swaps --portraits=DIR --out=DIR [--group=london] [--num=200] [--seed=0]
    python -m data_pipeline.swaps --images=DIR --out=DIR

It is to test detectors on fakes that training never makes, of people whom training never sees:
choose a group, or a folder, that is not trained on. Then
`prepare --dataset=folder --root=OUT/swaps.csv`. The same command continues what was interrupted.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from absl import flags

from data_pipeline.commands import Command
from data_pipeline.landmarks.find import Find, landmark_finder
from data_pipeline.swaps.kinds import KINDS
from data_pipeline.swaps.make import Report, Settings, make
from data_pipeline.swaps.portraits import (
    Source,
    SwapError,
    sources_of_folder,
    sources_of_manifest,
)
from data_pipeline.swaps.sheet import write_sheet
from data_pipeline.swaps.store import FORMATS, Storage


def _run(values: flags.FlagValues, _: list[str]) -> None:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # before anything imports TensorFlow
    out = Path(values.out).expanduser()
    settings = Settings(
        kinds=tuple(dict.fromkeys(values.kind or KINDS)),
        widths=tuple(_width(text) for text in values.donor_widths),
        num=values.num,
        seed=values.seed,
        scale=values.scale,
        storage=Storage(values.format, values.quality, values.crf),
    )
    sources = _sources(values)
    report = make(sources, _find(values, sources), out, settings)
    write_sheet(report.items, out, out / "sheet.png", rows=4)
    _print(report, out)


def _sources(values: flags.FlagValues) -> list[Source]:
    if (values.images is None) == (values.portraits is None):
        raise SwapError("give one of --images=DIR and --portraits=DIR")
    if values.images is not None:
        return sources_of_folder(Path(values.images).expanduser())
    return sources_of_manifest(Path(values.portraits).expanduser(), values.group)


def _find(values: flags.FlagValues, sources: list[Source]) -> Find | None:
    if all(source.points is not None for source in sources):
        return None
    weights = (values.detector_weights, values.landmark_weights)
    return landmark_finder("face_mesh", *(Path(w).expanduser() if w else None for w in weights))


def _width(text: str) -> int | None:
    if text == "full":
        return None
    if not text.isdecimal() or int(text) < 1:
        raise SwapError(f"--donor_widths: '{text}' is neither 'full' nor a number of pixels")
    return int(text)


def _print(report: Report, out: Path) -> None:
    fakes = sum(item.label for item in report.items)
    print(f"{len(report.items) - fakes} reals and {fakes} swaps in {out / 'swaps.csv'}")
    if report.unread:
        print(f"{len(report.unread)} files without a face, such as {report.unread[0]}")
    for part, found in report.statistics.items():
        figures = ", ".join(f"{k} {'-' if v is None else f'{v:.2f}'}" for k, v in found.items())
        print(f"AUC of plain statistics, {part} image: {figures}")
    print(f"look at {out / 'sheet.png'}; licences: {out / 'LICENCES.md'}")


def _define(values: flags.FlagValues) -> None:
    flags.DEFINE_string("images", None, "Folder: PERSON/… or a file each.", flag_values=values)
    flags.DEFINE_string("portraits", None, "Folder with manifest.csv.", flag_values=values)
    flags.DEFINE_list(
        "group", ["london"], "Of the manifest; several by commas.", flag_values=values
    )
    flags.DEFINE_string("out", None, "Where it goes.", required=True, flag_values=values)
    flags.DEFINE_integer("num", 200, "Swaps a kind.", lower_bound=1, flag_values=values)
    flags.DEFINE_integer("seed", 0, "Of every draw.", lower_bound=0, flag_values=values)
    flags.DEFINE_float(
        "scale",
        0.9,
        "Every photo is shrunk by it first: no JPEG grid is left.",
        lower_bound=0.1,
        upper_bound=1.0,
        flag_values=values,
    )
    flags.DEFINE_multi_enum(
        "kind", None, list(KINDS), "Only these kinds; repeatable.", flag_values=values
    )
    flags.DEFINE_list(
        "donor_widths",
        ["full"],
        "Pixels that donors' faces are brought down to, such as full,128,64.",
        flag_values=values,
    )
    flags.DEFINE_enum("format", "png", list(FORMATS), "Of reals and fakes.", flag_values=values)
    flags.DEFINE_integer(
        "quality", 95, "Of JPEG.", lower_bound=1, upper_bound=100, flag_values=values
    )
    flags.DEFINE_integer(
        "crf",
        None,
        "Through H.264 at this rate factor first, such as 23 or 40.",
        lower_bound=0,
        upper_bound=51,
        flag_values=values,
    )
    flags.DEFINE_string(
        "detector_weights", None, "YuNet's file; the package's own by default.", flag_values=values
    )
    flags.DEFINE_string(
        "landmark_weights", None, "The mesh's file; fetched once by default.", flag_values=values
    )


COMMAND = Command(program="python -m data_pipeline.swaps", about=__doc__, define=_define, run=_run)

if __name__ == "__main__":
    sys.exit(COMMAND())
