r"""F3-Net, trained as its paper says, on FaceForensics++ LQ or HQ.

    python run_train.py --config=configs/systems/f3net.py --workdir=runs/f3net \
        --config.data.dir=DIR --config.init.path=xception.pth

DIR holds crops by `--alignment=box --crop_size=299`: squares of 1.3 times the face's box. The
Xceptions start from one of ImageNet's. The network whose figures others have published is
`default_config("public", "f3net")`. What differs from the paper: docs/systems.md.
"""

from ml_collections import ConfigDict

from matnet_jax.config import default_config


def get_config() -> ConfigDict:
    """SGD from 2e-3 along a cosine, 150,000 steps of 128 faces, cross entropy."""
    config = default_config("paper", "f3net")
    config.data.dir = "data/ffpp-box"
    return config
