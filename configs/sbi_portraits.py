r"""Self-blended images of portraits, small: what configs/sweeps/generalisation.py compares.

    matnet sweep --sweep=generalisation --config=configs/sbi_portraits.py --records=DIR \
        --workdir=runs/generalisation --config.init.path=efficientnet-lite0-57934424.pth

DIR and the records below it: docs/generalisation.md.
"""

from ml_collections import ConfigDict

from matnet_jax.config import default_config


def get_config(family: str = "classifier") -> ConfigDict:
    """EfficientNet-Lite0 at 192 px, 8 reals and their 8 fakes a step."""
    config = default_config("paper", family)
    config.model.backbone = "efficientnet-lite0"
    config.model.image_size = 192
    config.data.crop_margin = 1.25
    config.data.mixture = ("self_blended=1",)
    config.train.batch_size = 16
    config.train.duration = "300 steps"
    config.train.log_every = "25 steps"
    config.optimizer.name = "adamw"
    config.optimizer.learning_rate = 3e-4
    config.optimizer.schedule = "cosine"
    config.optimizer.warmup = "20 steps"
    config.optimizer.sam_rho = 0.05
    config.validation.fakes = "self_blended"
    config.validation.every = "150 steps"
    config.validation.batch_size = 32
    config.checkpoint.every = "50 steps"
    config.eval.num_resamples = 1000
    config.eval.resample = "identity"  # a photo with all fakes made of it
    return config
