"""One process of a training job on tiny data: what tests start several of.

python job.py FAMILY WORKDIR [--evaluate] [field=value …]
"""

import json
import sys
from pathlib import Path
from types import SimpleNamespace

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1])]

from tiny_source import tiny_source  # noqa: E402
from workdirs import tiny_config  # noqa: E402

import matnet_jax.train.run  # noqa: E402
from matnet_jax.runtime.distributed import find_job, join  # noqa: E402
from matnet_jax.train import command  # noqa: E402


def main() -> int:
    # Processes that share one or two cores with other tests may be late; none is dead for that.
    join(find_job(), heartbeat_seconds=600)
    family, workdir, *fields = sys.argv[1:]
    evaluates = "--evaluate" in fields
    pairs = (field.partition("=") for field in fields if field != "--evaluate")
    config = tiny_config(family, **{name: json.loads(value) for name, _, value in pairs})
    matnet_jax.train.run.open_source = lambda config, split, *sees: tiny_source(split)
    values = SimpleNamespace(config=config, workdir=workdir, profile_steps="")
    status = command._run(values, [])
    if evaluates and not status:
        import matnet_jax.evaluation.run as evaluation

        evaluation.open_evaluation = matnet_jax.train.run.open_source
        evaluation.evaluate(config, workdir, checkpoint="latest")
    return status


if __name__ == "__main__":
    sys.exit(main())
