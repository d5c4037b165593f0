r"""FWA, trained with its paper's loss and optimiser.

    python run_train.py --config=configs/systems/fwa.py --workdir=runs/fwa --config.data.dir=DIR

Its forged faces are real ones, warped out and back while it trains: no fakes are read. DIR holds
records by `--alignment=box --margin=2.6 --crop_size=512 --landmarks=face_mesh`. The paper's second
stage goes on with hard examples alone: `--config.init.path=runs/fwa
--config.optimizer.learning_rate=1e-4 --config.losses.easy_above=0.9`. What differs from
the paper: docs/systems.md.
"""

from ml_collections import ConfigDict

from matnet_jax.config import default_config


def get_config() -> ConfigDict:
    """SGD at 1e-3, ×0.95 after every 1000 steps, 20 epochs of batches of 64, cross entropy."""
    config = default_config("paper", "fwa")
    config.data.dir = "data/ffpp-box"
    config.data.crop_margin = 1.25
    config.data.mixture = ("fwa=1",)
    config.validation.fakes = "fwa"
    config.validation.batch_size = 32
    return config
