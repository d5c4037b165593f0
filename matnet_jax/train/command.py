"""Trains a detector.

    run_train.py --config=FILE --workdir=DIR [--config.a.b=c …]

The same command again continues where the last one ended. Status 75: SIGTERM came, all is saved.
"""

import sys

from absl import flags

from data_pipeline.commands import Command
from matnet_jax.runtime.commands import on_devices
from matnet_jax.runtime.config_files import define_config


def _define(values: flags.FlagValues) -> None:
    define_config(values)
    flags.DEFINE_string(
        "workdir", None, "Folder of the run: checkpoints, metrics, config.", flag_values=values
    )
    flags.DEFINE_string(
        "profile_steps", "", "Such as 10:15: traced to WORKDIR/profile.", flag_values=values
    )
    flags.mark_flags_as_required(["config", "workdir"], values)


def _run(values: flags.FlagValues, _: list[str]) -> int:
    import jax

    from matnet_jax.runtime.preemption import STATUS, Preempted
    from matnet_jax.train.run import train  # after the flags: --help and typos answer at once

    try:
        result = train(values.config, values.workdir, profile_steps=values.profile_steps)
    except Preempted as preempted:
        print(f"{preempted}; the same command continues", file=sys.stderr)
        return STATUS
    if jax.process_index() == 0:
        best = result["best_step"]
        print(
            f"trained to step {result['step']}; best by validation: "
            + (
                f"step {best}"
                if best is not None
                else "undefined (no validation with both classes)"
            )
            + f"\nnext: python run_eval.py --config=… --workdir={values.workdir}"
        )
    return 0


COMMAND = on_devices(Command(program="run_train.py", about=__doc__, define=_define, run=_run))
