"""Evaluates a trained detector on a split of a data set, or scores media files with it.

    python run_eval.py --config=FILE --workdir=DIR [--checkpoint=best|latest|STEP] [--split=test]
    python run_eval.py [--workdir=DIR|--weights=NAME] --inputs PATH [PATH …] [--overlay] [--resume]

The first writes scores.csv, metrics.json and report.html to --out, by default
<workdir>/eval/<split>; the second predictions.csv and predictions.json, by default to
<workdir>/predictions, and ends with status 3 where a file has no score.
"""

import dataclasses

from absl import flags

from matnet_jax.evaluation import command as evaluation
from matnet_jax.predict import command as prediction
from matnet_jax.runtime.commands import on_devices, start


def define(values: flags.FlagValues) -> None:
    """The flags of both."""
    evaluation.define_flags(values)
    prediction.define_flags(values)


def run(values: flags.FlagValues, arguments: list[str]) -> int | None:
    """Scores media where `--inputs` names some, else a split."""
    chosen = evaluation if values.inputs is None else prediction
    return chosen.run(values, arguments)


if __name__ == "__main__":
    both = dataclasses.replace(evaluation.EVALUATE, about=__doc__, define=define, run=run)
    start(on_devices(both))
