"""Trains a detector: ``python run_train.py --config=FILE --workdir=DIR [--config.a.b=c]``.

The same command again continues where the last one ended. Status 75: SIGTERM came, all is saved.
"""

import sys

from absl import flags
from ml_collections import config_flags

from matnet_jax.runtime.commands import run_command

_CONFIG = config_flags.DEFINE_config_file("config", None, "Config file, such as configs/demo.py.")
_WORKDIR = flags.DEFINE_string("workdir", None, "Folder of the run: checkpoints, metrics, config.")
_PROFILE = flags.DEFINE_string("profile_steps", "", "Such as 10:15: traced to WORKDIR/profile.")
flags.mark_flags_as_required(["config", "workdir"])


def main(argv: list[str]) -> int:
    del argv
    config = _CONFIG.value
    import jax

    from matnet_jax.runtime.preemption import STATUS, Preempted
    from matnet_jax.train.run import train  # after the flags: --help and typos answer at once

    try:
        result = train(config, _WORKDIR.value, profile_steps=_PROFILE.value)
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
            + f"\nnext: python run_eval.py --config=… --workdir={_WORKDIR.value}"
        )
    return 0


if __name__ == "__main__":
    run_command(main)
