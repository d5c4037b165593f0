"""One process of a training job on tiny data: what tests start several of.

python job.py FAMILY WORKDIR [field=value …]
"""

import json
import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1])]

import test_train  # noqa: E402

import matnet_jax.evaluation.run  # noqa: E402
import matnet_jax.train.run  # noqa: E402
from matnet_jax.runtime.distributed import find_job, join  # noqa: E402
from matnet_jax.runtime.preemption import STATUS, Preempted  # noqa: E402


def main() -> int:
    # Processes that share one or two cores with other tests may be late; none is dead for that.
    join(find_job(), heartbeat_seconds=600)
    matnet_jax.train.run.open_source = lambda config, split, *sees: test_train.tiny_source(split)
    matnet_jax.evaluation.run.open_evaluation = matnet_jax.train.run.open_source
    family, workdir, *fields = sys.argv[1:]
    overrides = {name: json.loads(value) for name, _, value in (f.partition("=") for f in fields)}
    config = test_train.tiny_config(family, **overrides)
    try:
        matnet_jax.train.run.train(config, workdir)
    except Preempted as error:
        print(error, file=sys.stderr)
        return STATUS
    matnet_jax.evaluation.run.evaluate(config, workdir, checkpoint="latest")
    return 0


if __name__ == "__main__":
    sys.exit(main())
