r"""Two-stream, a reconstruction, trained on FaceForensics++ as the other systems are.

    python run_train.py --config=configs/systems/two_stream.py --workdir=runs/two_stream \
        --config.data.dir=DIR --config.init.path=inception_v3_google-0cc3c7bd.pth

DIR holds crops by `--alignment=box --crop_size=299`. The file is torchvision's Inception-v3 of
ImageNet, from which the face's stream starts. The face's stream alone is
`default_config("face", "two_stream")`. What differs from the paper: docs/systems.md.
"""

from ml_collections import ConfigDict

from matnet_jax.config import default_config


def get_config() -> ConfigDict:
    """SGD at 1e-3, 16,000 steps of 32 faces: cross entropy, triplets of patches, and a hinge."""
    config = default_config("paper", "two_stream")
    config.data.dir = "data/ffpp-box"
    return config
