r"""Capsule-Forensics v1, trained as its authors' code, on FaceForensics++ HQ as the others are.

    python run_train.py --config=configs/systems/capsule_v1.py --workdir=runs/capsule_v1 \
        --config.data.dir=DIR --config.init.path=vgg19-dcbb9e9d.pth

DIR holds crops by `--alignment=box --crop_size=128`. The file is torchvision's VGG-19 of ImageNet,
whose first layers stay as they are; without it they would stay at random. docs/systems.md says what
differs from the authors' training.
"""

from ml_collections import ConfigDict

from matnet_jax.config import default_config


def get_config() -> ConfigDict:
    """Adam at 5e-4 on the head alone, batches of 100, 100 epochs."""
    config = default_config("paper", "capsule_v1")
    config.data.dir = "data/ffpp-box"
    return config
