"""Trains a detector: ``python run_train.py --config=FILE --workdir=DIR [--config.a.b=c]``."""

from matnet_jax.runtime.commands import start
from matnet_jax.train.command import COMMAND

if __name__ == "__main__":
    start(COMMAND)
