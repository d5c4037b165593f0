"""Evaluates a trained detector on a split of a data set.

    run_eval.py --config=FILE --workdir=DIR [--checkpoint=best|latest|STEP] [--split=test]

Writes scores.csv, metrics.json and report.html to --out.
"""

from absl import flags

from data_pipeline.commands import Command
from matnet_jax.runtime.commands import on_devices
from matnet_jax.runtime.config_files import define_config


def define_flags(values: flags.FlagValues) -> None:
    """The command's flags."""
    define_config(values)
    flags.DEFINE_string("workdir", None, "Folder of the training run.", flag_values=values)
    flags.DEFINE_string(
        "checkpoint", "best", "best (by validation), latest, or a step.", flag_values=values
    )
    flags.DEFINE_enum(
        "split", "test", ["train", "val", "test"], "Split to score.", flag_values=values
    )
    flags.DEFINE_string(
        "out", None, "Folder for the files; default: WORKDIR/eval/SPLIT.", flag_values=values
    )
    define_engine(values)


def define_engine(values: flags.FlagValues) -> None:
    """The flag of what computes the network."""
    flags.DEFINE_enum(
        "engine",
        "auto",
        ["auto", "jax", "onnx"],
        "Of the network; auto: ONNX Runtime on CPUs, where it is installed.",
        flag_values=values,
    )


def run(values: flags.FlagValues, arguments: list[str]) -> None:
    """Evaluates, and prints what matters most.

    Raises:
      ValueError: there is no config or workdir, or something is left of the command line.
    """
    if arguments:
        raise ValueError(f"not a flag: {' '.join(arguments)}; files to score come after --inputs")
    if values.config is None:
        raise ValueError("--config=FILE is needed, such as configs/demo.py; or --inputs PATH …")
    if values.workdir is None:
        raise ValueError("--workdir=DIR is needed: the folder of the training run")
    from matnet_jax.evaluation.run import evaluate  # after the flags: --help answers at once

    out, split = values.out, values.split
    metrics = evaluate(
        values.config,
        values.workdir,
        checkpoint=values.checkpoint,
        split=split,
        out=out,
        engine=values.engine,
    )
    import jax

    if jax.process_index():
        return
    for level in ("frame", "video"):
        found = metrics[level]
        counts = f"{found['n_real']} real, {found['n_fake']} fake"
        numbers = (f"{name.upper()} {_number(found[name])}" for name in ("acc", "auc", "eer"))
        print(f"{level}s ({counts}): " + ", ".join(numbers))
    out = out or f"{values.workdir}/eval/{split}"
    print(f"checkpoint: step {metrics['checkpoint']['step']}\nreport: {out}/report.html")


def _number(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.4f}"


EVALUATE = Command(
    program="run_eval.py", about=__doc__, define=define_flags, run=run, arguments="…"
)
COMMAND = on_devices(EVALUATE)
