r"""Xception-ELA, a reconstruction, trained on FaceForensics++ as the other systems are.

    python run_train.py --config=configs/systems/xception_ela.py --workdir=runs/xception_ela \
        --config.data.dir=DIR --config.init.path=xception-b5690688.pth

DIR holds crops by `--alignment=box --crop_size=299`. The file is Cadene's Xception of ImageNet; the
paper's row starts from it.
"""

from ml_collections import ConfigDict

from matnet_jax.config import default_config


def get_config() -> ConfigDict:
    """Xception on error levels at JPEG quality 90: Adam at 2e-4, cross entropy, flips."""
    config = default_config("paper", "xception_ela")
    config.data.dir = "data/ffpp-box"
    return config
