"""`calibrate` and `judge`: from two evaluations to whether a network is handed out."""

from __future__ import annotations

from pathlib import Path

from absl import flags

from data_pipeline.commands import Command, Commands


def _define(values: flags.FlagValues) -> None:
    flags.DEFINE_string(
        "attributes",
        None,
        "CSV with video_id, group, person, skin_tone.",
        required=True,
        flag_values=values,
    )
    flags.DEFINE_integer(
        "min_people", 40, "Smaller groups are only listed.", lower_bound=1, flag_values=values
    )


def _define_resamples(values: flags.FlagValues) -> None:
    flags.DEFINE_integer(
        "num_resamples", 1000, "Of the intervals; 0: none.", lower_bound=0, flag_values=values
    )


def _define_calibrate(values: flags.FlagValues) -> None:
    flags.DEFINE_string(
        "workdir", None, "Of the network; of a baseline there is none.", flag_values=values
    )
    _define(values)
    flags.DEFINE_float(
        "false_alarm_rate", 0.01, "Of the threshold that decides.", flag_values=values
    )
    flags.DEFINE_list(
        "other_rates", ["0.01", "0.05"], "Whose thresholds are kept too.", flag_values=values
    )
    flags.DEFINE_float(
        "max_risk", 0.05, "Share of wrong calls outside the uncertain band.", flag_values=values
    )
    _define_resamples(values)


def _calibrate(values: flags.FlagValues, folders: list[str]) -> None:
    from matnet_jax.evaluation.gate.run import calibrate  # after the flags: --help answers at once

    try:
        rates = [float(rate) for rate in values.other_rates]
    except ValueError as error:
        raise ValueError(f"--other_rates={','.join(values.other_rates)}: {error}") from None
    workdir = Path(values.workdir) if values.workdir else None
    point = calibrate(
        Path(folders[0]),
        Path(values.attributes),
        workdir,
        false_alarm_rate=values.false_alarm_rate,
        other_rates=rates,
        max_risk=values.max_risk,
        min_people=values.min_people,
        num_resamples=values.num_resamples,
    )
    print((Path(folders[0]) / "choose.md").read_text(encoding="utf-8"))
    print(f"fake over {point.threshold:.4f}, uncertain in {point.uncertain}")
    print("; ".join(f"{rate:g} false alarms at {value:.4f}" for rate, value in point.thresholds))
    if point.note:
        print(f"note: {point.note}")
    if workdir is not None:
        print(f"wrote {workdir / 'operating-point.json'}")


def _define_judge(values: flags.FlagValues) -> None:
    flags.DEFINE_string("workdir", None, "Of the network.", required=True, flag_values=values)
    _define(values)
    flags.DEFINE_string(
        "out", None, "Folder of gate.json and gate.md; default: EVALUATION.", flag_values=values
    )
    flags.DEFINE_float("max_false_alarms", 0.05, "Of any group's reals.", flag_values=values)
    flags.DEFINE_float("min_found", 0.6, "Of the swaps.", flag_values=values)
    flags.DEFINE_float("min_pair_auc", 0.85, "Of the frames of a pair.", flag_values=values)
    flags.DEFINE_integer("num_pairs", 3, "Pairs that there have to be.", flag_values=values)
    flags.DEFINE_list(
        "paired", ["ffpp", "dfdc"], "Groups of fakes with their sources.", flag_values=values
    )
    _define_resamples(values)


def _judge(values: flags.FlagValues, folders: list[str]) -> int:
    from matnet_jax.evaluation.gate.run import judge_evaluation
    from matnet_jax.metrics.gate import Criteria

    evaluation = Path(folders[0])
    out = Path(values.out) if values.out else evaluation
    verdict = judge_evaluation(
        evaluation,
        Path(values.attributes),
        Path(values.workdir),
        out,
        criteria=Criteria(
            max_false_alarms=values.max_false_alarms,
            min_people=values.min_people,
            min_found=values.min_found,
            min_pair_auc=values.min_pair_auc,
            num_pairs=values.num_pairs,
            paired=tuple(values.paired),
        ),
        num_resamples=values.num_resamples,
    )
    print((out / "gate.md").read_text(encoding="utf-8"))
    print(f"wrote {out / 'gate.json'}")
    return 0 if verdict.met else 2


_PROGRAM = "python -m matnet_jax.evaluation.gate"
CALIBRATE = Command(
    program=f"{_PROGRAM} calibrate",
    about="""Fits thresholds, temperature and the uncertain band on the people to choose by.

    calibrate EVALUATION --attributes=FILE [--workdir=DIR]

EVALUATION is what run_eval.py wrote of them, and gets choose.md: which swaps are found, and AUCs
against photos of their own group. Writes operating-point.json into the workdir, if there is one.
""",
    define=_define_calibrate,
    run=_calibrate,
    arguments="EVALUATION",
)
JUDGE = Command(
    program=f"{_PROGRAM} judge",
    about="""Says whether a network may be handed out, by people whom nothing was fitted on.

    judge EVALUATION --attributes=FILE --workdir=DIR

Needs the operating point of `calibrate`. Ends with status 2 where the gate is not met.
""",
    define=_define_judge,
    run=_judge,
    arguments="EVALUATION",
)
COMMANDS = Commands(
    _PROGRAM,
    "Whether a network is handed out as the default.",
    {
        "calibrate": ("fit the thresholds on the people to choose by", f"{__name__}:CALIBRATE"),
        "judge": ("judge by the people to judge by, once", f"{__name__}:JUDGE"),
    },
)
