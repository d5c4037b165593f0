"""`python -m matnet_jax.report compare A B …`: evaluations side by side."""

import sys

from matnet_jax.report.command import COMMANDS as main

if __name__ == "__main__":
    sys.exit(main())
