r"""Two Branch, a reconstruction, trained on single frames of FaceForensics++.

    python run_train.py --config=configs/systems/two_branch.py --workdir=runs/two_branch \
        --config.data.dir=DIR --config.init.path=densenet121-a639ec97.pth

DIR holds crops by `--alignment=similarity --crop_size=224`, as the paper's faces are aligned. The
file is torchvision's DenseNet-121 of ImageNet. The paper trains on clips; what else differs:
docs/systems.md.
"""

from ml_collections import ConfigDict

from matnet_jax.config import default_config


def get_config() -> ConfigDict:
    """Adam at 1e-4 along a cosine, batches of 16, half of them real: distances from the centre."""
    config = default_config("paper", "two_branch")
    config.data.dir = "data/ffpp"
    return config
