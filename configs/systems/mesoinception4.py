r"""MesoInception4, trained as its paper says, on FaceForensics++ HQ as the other systems are.

    python run_train.py --config=configs/systems/mesoinception4.py --workdir=runs/mesoinception4 \
        --config.data.dir=DIR

The crops are those of configs/systems/meso4.py.
"""

from ml_collections import ConfigDict

from matnet_jax.config import default_config


def get_config() -> ConfigDict:
    """Adam at 1e-3, a tenth after every 1000 steps, 4000 steps of 75 faces, squared error."""
    config = default_config("paper", "mesoinception4")
    config.data.dir = "data/ffpp-box"
    return config
