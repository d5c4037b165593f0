"""The demo: a small MAT on the embedded data set, trained and evaluated in minutes on two cores.

make demo
"""

from ml_collections import ConfigDict

from matnet_jax.config import default_config


def get_config() -> ConfigDict:
    """The paper's recipe, narrowed and shortened."""
    config = default_config("paper")
    config.data.source = "synthetic"
    config.data.real_repeat = 1  # each clip is there once real and once forged
    config.model.backbone = "efficientnet-b0"
    config.model.width_coefficient = 0.5
    config.model.depth_coefficient = 0.25  # one block a stage
    config.model.image_size = 128
    config.model.batch_norm_momentum = 0.9  # 0.99 would not forget its start in so short a run
    config.train.batch_size = 16
    config.train.duration = "400 steps"
    config.train.log_every = "20 steps"
    config.optimizer.learning_rate = 3e-3  # three times the paper's, for a run this short
    config.optimizer.schedule = "cosine"
    config.optimizer.warmup = "20 steps"
    config.validation.every = "100 steps"
    config.validation.batch_size = 32
    config.checkpoint.every = "100 steps"
    return config
