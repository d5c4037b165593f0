"""Makes records to train on, to choose by and to judge by, of portraits and a few videos.

    python -m data_pipeline.benchmark --portraits=DIR --out=DIR [--ffpp=DIR] [--dfdc=DIR]
        [--photos=DIR]

DIR of portraits has manifest.csv (path, group, person, licence, source). OUT/portraits is to train
on, OUT/choose to choose and calibrate by, OUT/gate to judge by, once: nobody is in two of them.
The same command continues what was interrupted.
"""

from __future__ import annotations

import sys
from pathlib import Path

from absl import flags

from data_pipeline.benchmark.make import PORTRAITS, Plan, Weights, make_benchmark
from data_pipeline.benchmark.people import PARTS, People
from data_pipeline.benchmark.source_flags import (
    define_source_flags,
    given_photos,
    given_portraits,
    given_videos,
    given_weights,
)
from data_pipeline.commands import Command


def _run(values: flags.FlagValues, _: list[str]) -> None:
    people = People(
        tuple(values.train_groups),
        tuple(values.swapped_groups),
        tuple(values.real_groups),
        values.seed,
    )
    out = Path(values.out).expanduser().absolute()
    made = make_benchmark(
        given_portraits(values),
        out,
        Plan(people, num=values.num),
        videos=given_videos(values),
        photos=given_photos(values),
        weights=Weights(*given_weights(values)),
        parts=tuple(values.part or (PORTRAITS, *PARTS)),
        workers=values.workers,
    )
    for part, report in made.items():
        print(f"{report.faces} faces of {report.videos} files in {out / part}")
        if report.failures:
            print(f"{len(report.failures)} with problems: see {out / part / 'failures.csv'}")
    if not made:
        print(f"all of it is in {out} already")


def _define(values: flags.FlagValues) -> None:
    define_source_flags(values)
    people = People()
    flags.DEFINE_string("out", None, "Where it goes.", flag_values=values)
    flags.mark_flags_as_required(["portraits", "out"], values)
    flags.DEFINE_list("train_groups", [*people.train], "To train on.", flag_values=values)
    flags.DEFINE_list(
        "swapped_groups", [*people.swapped], "To judge by, swapped and not.", flag_values=values
    )
    flags.DEFINE_list(
        "real_groups", [*people.real], "To judge by, never swapped.", flag_values=values
    )
    flags.DEFINE_integer(
        "seed", people.seed, "Of who is for choosing, who for judging.", flag_values=values
    )
    flags.DEFINE_integer(
        "num", Plan.num, "Swaps a kind, rate and part.", lower_bound=1, flag_values=values
    )
    flags.DEFINE_multi_enum(
        "part", None, [PORTRAITS, *PARTS], "Only these; repeatable.", flag_values=values
    )
    flags.DEFINE_integer("workers", None, "Processes; default: one a core.", flag_values=values)


COMMAND = Command(
    program="python -m data_pipeline.benchmark",
    about=__doc__,
    define=_define,
    run=_run,
    errors=(ValueError, OSError, RuntimeError),
)

if __name__ == "__main__":
    sys.exit(COMMAND())
