"""Fits a linear probe: the baseline that a detector has to beat.

    matnet probe --config=FILE [--workdir=DIR | --weights=FILE] [--features=network]
        [--classifier=svm] [--save=DIR] [--folds=5] --out=DIR

Features of a frozen network, or figures of the whole image, go into a logistic regression or a
linear support vector machine, fitted on the split train and evaluated like a detector; with --folds
fitted on the split that is scored, without the people who are. Writes scores.csv, metrics.json and
report.html; with --save also a workdir of the network with that line.
"""

from absl import flags

from data_pipeline.commands import Command
from matnet_jax.runtime.config_files import define_config


def _define(values: flags.FlagValues) -> None:
    define_config(values, "Config file, or the name of one: the data, and the network.")
    flags.DEFINE_enum(
        "features",
        "network",
        ["network", "statistics", "sharpness"],
        "Of a frozen network; or colours, JPEG size and sharpness; or face against background.",
        flag_values=values,
    )
    flags.DEFINE_enum(
        "classifier", "logistic", ["logistic", "svm"], "What is fitted.", flag_values=values
    )
    flags.DEFINE_string(
        "save", None, "Workdir for the network with the fitted line.", flag_values=values
    )
    flags.DEFINE_string("workdir", None, "Training whose network it is.", flag_values=values)
    flags.DEFINE_string("checkpoint", "best", "best, latest, or a step.", flag_values=values)
    flags.DEFINE_string("weights", None, "File of weights, in its place.", flag_values=values)
    flags.DEFINE_enum("split", "test", ["val", "test"], "Split to score.", flag_values=values)
    flags.DEFINE_integer(
        "frames_per_video",
        8,
        "Of train and val; 0 for all.",
        lower_bound=0,
        flag_values=values,
    )
    flags.DEFINE_integer(
        "folds",
        None,
        "Parts of the people of the split that is scored, to fit on the others; without train.",
        lower_bound=2,
        flag_values=values,
    )
    flags.DEFINE_string(
        "out", None, "Folder for the files; default: WORKDIR/probe/SPLIT.", flag_values=values
    )
    flags.mark_flags_as_required(["config"], values)


def _run(values: flags.FlagValues, _: list[str]) -> None:
    if values.out is None and values.workdir is None:
        raise ValueError("without --workdir, --out=DIR has to say where the files go")
    from matnet_jax.evaluation.probe.run import probe  # after the flags: --help answers at once
    from matnet_jax.runtime.compile_cache import use_compile_cache

    use_compile_cache()
    out = values.out or f"{values.workdir}/probe/{values.split}"
    metrics = probe(
        values.config,
        out,
        features=values.features,
        classifier=values.classifier,
        save=values.save,
        workdir=values.workdir,
        checkpoint=values.checkpoint,
        weights=values.weights,
        split=values.split,
        frames_per_video=values.frames_per_video or None,
        folds=values.folds,
    )
    found = metrics["probe"]
    areas = ", ".join(
        f"{level} AUC "
        + ("undefined" if metrics[level]["auc"] is None else f"{metrics[level]['auc']:.4f}")
        for level in ("frame", "video")
    )
    print(f"{found['of']}: {found['dimensions']} features, C = {found['c']:g}; {areas}")
    print(f"report: {out}/report.html")
    if values.save:
        print(f"network: {values.save}, as if trained: run_eval.py --workdir={values.save}")


COMMAND = Command(program="matnet probe", about=__doc__, define=_define, run=_run)
