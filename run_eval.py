"""Evaluates a trained detector on a split of a data set.

    python run_eval.py --config=FILE --workdir=DIR [--checkpoint=best|latest|STEP] [--split=test]

Writes scores.csv, metrics.json and report.html to --out, by default <workdir>/eval/<split>.
"""

from absl import flags
from ml_collections import config_flags

from matnet_jax.commands import run_command

_CONFIG = config_flags.DEFINE_config_file("config", None, "Config file, such as configs/demo.py.")
_WORKDIR = flags.DEFINE_string("workdir", None, "Folder of the training run.")
_CHECKPOINT = flags.DEFINE_string("checkpoint", "best", "best (by validation), latest, or a step.")
_SPLIT = flags.DEFINE_enum("split", "test", ["train", "val", "test"], "Split to score.")
_OUT = flags.DEFINE_string("out", None, "Folder for the files; default <workdir>/eval/<split>.")
flags.mark_flags_as_required(["config", "workdir"])


def main(argv: list[str]) -> None:
    del argv
    config = _CONFIG.value
    from matnet_jax.evaluate import evaluate  # after the flags: --help and typos answer at once

    metrics = evaluate(
        config, _WORKDIR.value, checkpoint=_CHECKPOINT.value, split=_SPLIT.value, out=_OUT.value
    )
    for level in ("frame", "video"):
        values = metrics[level]
        counts = f"{values['n_real']} real, {values['n_fake']} fake"
        numbers = (f"{name.upper()} {_number(values[name])}" for name in ("acc", "auc", "eer"))
        print(f"{level}s ({counts}): " + ", ".join(numbers))
    out = _OUT.value or f"{_WORKDIR.value}/eval/{_SPLIT.value}"
    print(f"checkpoint: step {metrics['checkpoint']['step']}\nreport: {out}/report.html")


def _number(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.4f}"


if __name__ == "__main__":
    run_command(main)
