r"""FWA, trained with its paper's loss and optimiser.

    python run_train.py --config=configs/systems/fwa.py --workdir=runs/fwa --config.data.dir=DIR

The authors train on real faces, half of them warped out and back; here the forged faces are those
of DIR, crops by `--alignment=box --crop_size=224`, unless `config.data` mixes in others. The second
stage of the paper goes on from the first with hard examples alone: `--config.init.path=runs/fwa
--config.optimizer.learning_rate=1e-4 --config.losses.easy_above=0.9`. What differs from the paper:
docs/systems.md.
"""

from ml_collections import ConfigDict

from matnet_jax.config import default_config


def get_config() -> ConfigDict:
    """SGD at 1e-3, ×0.95 after every 1000 steps, 20 epochs of batches of 64, cross entropy."""
    config = default_config("paper", "fwa")
    config.data.dir = "data/ffpp-box"
    return config
