"""`compare`: evaluations side by side."""

from absl import flags

from data_pipeline.commands import Command, Commands


def _define(values: flags.FlagValues) -> None:
    flags.DEFINE_string("out", "comparison.html", "Page to write.", flag_values=values)
    flags.DEFINE_integer(
        "num_resamples", 1000, "Draws of the intervals.", lower_bound=1, flag_values=values
    )
    flags.DEFINE_integer("seed", 0, "Of the draws.", flag_values=values)
    flags.DEFINE_enum(
        "resample",
        "video",
        ["video", "identity"],
        "What is drawn: videos, or people with all their videos (source_id).",
        flag_values=values,
    )


def _run(values: flags.FlagValues, folders: list[str]) -> None:
    from matnet_jax.report.comparison import as_text, compare, load_evaluations, write_comparison

    comparison = compare(
        load_evaluations(folders),
        num_resamples=values.num_resamples,
        seed=values.seed,
        resample=values.resample,
    )
    write_comparison(values.out, comparison)
    print(as_text(comparison))
    print(f"\nwrote {values.out}")


COMPARE = Command(
    program="python -m matnet_jax.report compare",
    about="""Puts evaluations side by side.

    compare FOLDER FOLDER … [--out=comparison.html]

A folder is what run_eval.py wrote (scores.csv, metrics.json); the first is the baseline. Ends with
status 2 where an evaluation cannot be read.
""",
    define=_define,
    run=_run,
    arguments="FOLDER …",
    status=2,
    usage_status=2,
)
COMMANDS = Commands(
    "python -m matnet_jax.report",
    "Pages about evaluations.",
    {"compare": ("put evaluations side by side", f"{__name__}:COMPARE")},
)
