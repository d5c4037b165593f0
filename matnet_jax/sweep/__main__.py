"""`python -m matnet_jax.sweep`."""

from matnet_jax.runtime.commands import start
from matnet_jax.sweep.command import COMMAND

if __name__ == "__main__":
    start(COMMAND)
