r"""Self-blended images with EfficientNet-Lite0 at its own 224 px: a network for small machines.

    python run_train.py --config=configs/sbi_lite0.py --workdir=runs/sbi-lite0 \
        --config.data.dir=DIR --config.init.path=FILE

The training of configs/sbi_b4.py; records of `--crop_size=512` are enough. FILE is of ImageNet
weights (docs/from-pytorch.md), whose mean and deviation of pixels the network takes over.
"""

from ml_collections import ConfigDict

from matnet_jax.config import default_config


def get_config() -> ConfigDict:
    """As configs/sbi_b4.py, of a smaller network and smaller images."""
    config = default_config("paper", "classifier")
    config.model.backbone = "efficientnet-lite0"
    config.model.image_size = 224
    config.data.dir = "data/ffpp-box"
    config.data.crop_margin = 1.25
    config.data.mixture = ("self_blended=1",)
    config.data.frames_per_video = 8
    config.train.batch_size = 32
    config.train.duration = "100 epochs"
    config.optimizer.name = "sgd"
    config.optimizer.learning_rate = 1e-3
    config.optimizer.momentum = 0.9
    config.optimizer.weight_decay = 0.0
    config.optimizer.sam_rho = 0.05
    config.optimizer.schedule = "linear"
    config.optimizer.hold = "75 epochs"
    config.validation.fakes = "self_blended"
    config.validation.batch_size = 32
    return config
