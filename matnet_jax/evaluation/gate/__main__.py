"""`python -m matnet_jax.evaluation.gate calibrate …` and `… judge …`."""

import sys

from matnet_jax.evaluation.gate.command import COMMANDS as main

if __name__ == "__main__":
    sys.exit(main())
