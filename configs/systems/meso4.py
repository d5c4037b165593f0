r"""Meso4, trained as its paper says, on FaceForensics++ HQ as the other systems are.

    python run_train.py --config=configs/systems/meso4.py --workdir=runs/meso4 \
        --config.data.dir=DIR

DIR holds crops by `--alignment=box --crop_size=256`: squares of 1.3 times the face's box, as
FaceForensics++ trained its MesoNet on. What differs from the authors' training: docs/systems.md.
"""

from ml_collections import ConfigDict

from matnet_jax.config import default_config


def get_config() -> ConfigDict:
    """Adam at 1e-3, a tenth after every 1000 steps, 4000 steps of 75 faces, squared error."""
    config = default_config("paper", "meso4")
    config.data.dir = "data/ffpp-box"
    return config
