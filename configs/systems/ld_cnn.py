r"""LD-CNN, a reconstruction, trained on FaceForensics++ as the other systems are.

    python run_train.py --config=configs/systems/ld_cnn.py --workdir=runs/ld_cnn \
        --config.data.dir=DIR --config.init.path=runs/steg_features \
        --config.init.prefixes="('head',)"

DIR holds crops by `--alignment=box --crop_size=256`, whose middle 128 pixels are looked at. It
starts as Steg.Features, and from its line where configs/systems/steg_features.py fitted one. What
differs from the paper: docs/systems.md.
"""

from ml_collections import ConfigDict

from matnet_jax.config import default_config


def get_config() -> ConfigDict:
    """Adam at 1e-4, batches of 16, cross entropy, no augmentation."""
    config = default_config("paper", "ld_cnn")
    config.data.dir = "data/ffpp-box"
    return config
