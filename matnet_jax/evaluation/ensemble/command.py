"""Scores an ensemble by the evaluations of its members.

    matnet ensemble --ensemble=selim --workdir=runs/selim [--split=test]

WORKDIR has a folder for each member, which was trained and evaluated as any network. Writes
scores.csv and metrics.json to WORKDIR/eval/SPLIT.
"""

from __future__ import annotations

from pathlib import Path

from absl import flags

from data_pipeline.commands import Command
from matnet_jax.evaluation.ensemble.definition import load_ensemble


def _define(values: flags.FlagValues) -> None:
    flags.DEFINE_string(
        "ensemble",
        None,
        "One of configs/ensembles, or a file.",
        flag_values=values,
    )
    flags.DEFINE_string("workdir", None, "Folder of the members' folders.", flag_values=values)
    flags.DEFINE_enum(
        "split", "test", ["train", "val", "test"], "Split to score.", flag_values=values
    )
    flags.DEFINE_integer("num_resamples", 0, "Draws for intervals.", flag_values=values)
    flags.DEFINE_bool("list", False, "Only print the members.", flag_values=values)
    flags.mark_flags_as_required(["ensemble", "workdir"], values)


def _run(values: flags.FlagValues, _: list[str]) -> None:
    from matnet_jax.evaluation.ensemble.run import evaluate_ensemble

    ensemble = load_ensemble(values.ensemble)
    if values.list:
        for member in ensemble.members:
            print(f"{values.workdir}/{member.name}: {member.config}, weight {member.weight:g}")
        return
    metrics = evaluate_ensemble(
        ensemble, values.workdir, split=values.split, num_resamples=values.num_resamples
    )
    video = metrics["video"]
    numbers = (
        f"{name} {'undefined' if video[name] is None else format(video[name], '.4f')}"
        for name in ("auc", "acc", "log_loss")
    )
    print(f"{ensemble.title}, {video['n_real']} real and {video['n_fake']} fake videos: ", end="")
    print(", ".join(numbers))
    print(f"wrote {Path(values.workdir) / 'eval' / values.split}")


COMMAND = Command(program="matnet ensemble", about=__doc__, define=_define, run=_run)
