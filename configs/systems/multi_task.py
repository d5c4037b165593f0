r"""Multi-task, trained as its authors' code, on FaceForensics++ HQ as the other systems are.

    python run_train.py --config=configs/systems/multi_task.py --workdir=runs/multi_task \
        --config.data.dir=DIR

DIR holds crops with masks, by `--alignment=box --crop_size=256 --masks`: squares of 1.3 times the
face's box, where the authors cut 1.3 times the mask's. What else differs: docs/systems.md.
"""

from ml_collections import ConfigDict

from matnet_jax.config import default_config


def get_config() -> ConfigDict:
    """Adam at 1e-3 with L2 5e-4, 100 epochs, batches of 64, three losses of equal weight."""
    config = default_config("paper", "multi_task")
    config.data.dir = "data/ffpp-box"
    return config
