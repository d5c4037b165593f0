r"""The weights that the package ships: EfficientNet-Lite0 at 224 px, portraits and fakes of them.

    matnet sweep --sweep=weights --config=configs/weights_lite0.py --workdir=runs/weights \
        --portraits=DIR --config.init.path=efficientnet-lite0-57934424.pth

DIR, how they are judged, and what came of it: docs/weights.md.
"""

from ml_collections import ConfigDict

from data_pipeline.training.blend.broad import BROAD, CAMERA
from matnet_jax.config import default_config


def get_config(family: str = "classifier") -> ConfigDict:
    """16 reals and their 16 fakes a step; 1,800 steps are some 41 rounds of 700 portraits."""
    config = default_config("paper", family)
    config.model.backbone = "efficientnet-lite0"
    config.model.image_size = 224
    config.data.crop_margin = 1.25
    config.data.mixture = ("self_blended=0.5", "face_xray=0.5")
    for section, fields in BROAD.items():
        config[section].update(fields)
    config.degrade.update(dict.fromkeys(CAMERA, 0.0))  # they take more steps than there are
    config.train.batch_size = 32
    config.train.duration = "1800 steps"
    config.train.log_every = "25 steps"
    config.optimizer.name = "adamw"
    config.optimizer.learning_rate = 3e-4
    config.optimizer.schedule = "cosine"
    config.optimizer.warmup = "90 steps"
    config.validation.fakes = "self_blended"
    config.validation.every = "150 steps"
    config.validation.batch_size = 32
    config.checkpoint.every = "50 steps"
    config.eval.num_resamples = 1000
    config.eval.resample = "identity"  # a photo with all fakes made of it
    return config
