r"""Self-blended images with EfficientNet-B4, as their paper trains: no fakes are read.

    python run_train.py --config=configs/sbi_b4.py --workdir=runs/sbi-b4 --config.data.dir=DIR \
        --config.init.path=adv-efficientnet-b4-44fb3a87.pth

Shiohara and Yamasaki, CVPR 2022. DIR holds records by `--alignment=box --margin=2.6
--crop_size=800 --landmarks=face_mesh`, of which the real ones are trained on. Without init.path it
starts at random, which the paper does not. See docs/generalisation.md.
"""

from ml_collections import ConfigDict

from matnet_jax.config import default_config


def get_config() -> ConfigDict:
    """16 reals and their 16 fakes a step at 380 px; SAM over SGD, 100 epochs, 8 frames a video."""
    config = default_config("paper", "classifier")
    config.model.backbone = "efficientnet-b4"
    config.model.image_size = 380
    config.model.mean = (0.0, 0.0, 0.0)  # pixels from 0 to 1, and no more is done to them
    config.model.std = (1.0, 1.0, 1.0)
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
