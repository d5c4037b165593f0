"""`python -m matnet_jax.pretrained convert IN OUT` and `… inspect IN`."""

import sys

from matnet_jax.pretrained.command import COMMANDS as main

if __name__ == "__main__":
    sys.exit(main())
