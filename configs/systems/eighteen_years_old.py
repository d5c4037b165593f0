r"""A network of Eighteen Years Old (DFDC, fourth), with the loss and optimiser of their code.

    python run_train.py --config=configs/systems/eighteen_years_old.py:xception \
        --workdir=runs/eighteen/xception --config.data.dir=DIR --config.init.path=FILE

DIR holds crops by `--alignment=box --faces=all`, of 256 pixels for SlowFast and ResNet-34 and of
299 for the others. FILE has ImageNet's or Kinetics' weights. The networks are `slowfast`, which is
the default, `slowfast_16x8`, `xception`, `b3`, `r34`, `b1`, `b1_all`, `b1_long` and `b0`. Both
SlowFasts see what records hold one after the other: of the challenge's videos `--num_frames=75` is
every 4th frame, for `slowfast`, and `--num_frames=38` every 8th, for `slowfast_16x8`. `matnet
ensemble --ensemble=eighteen_years_old --workdir=runs/eighteen` blends their scores. What differs
from the authors' training: docs/systems.md.
"""

from ml_collections import ConfigDict

from matnet_jax.config import default_config
from matnet_jax.detectors.fields import IMAGENET_MEAN, IMAGENET_STD

_USUAL = (15, 25, 35, 45)
# Backbone, pixels, rate, thousands of steps after which it is halved, and at which training ends.
_IMAGES = {
    "xception": ("xception", 299, 0.05, (20, 30, 40, 50), 60),
    "b3": ("efficientnet-b3", 299, 0.04, _USUAL, 60),
    "r34": ("resnet-34", 256, 0.02, (10, 15, 20, 25), 30),
    "b1": ("efficientnet-b1", 299, 0.03, _USUAL, 60),
    "b1_all": ("efficientnet-b1", 299, 0.03, _USUAL, 60),
    "b1_long": ("efficientnet-b1", 299, 0.03, (20, 30, 40, 55), 90),
    "b0": ("efficientnet-b0", 299, 0.03, _USUAL, 60),
}
_MIRRORED = ("xception", "r34", "b1", "b0")
"""Scored with their mirror images."""
_CLIPS = {"slowfast": 32, "slowfast_16x8": 16}
"""Frames of a clip."""


def get_config(network: str = "slowfast") -> ConfigDict:
    """SGD with Nesterov's momentum, the rate halved by steps, classes weighed 1.8 to 0.2."""
    if network in _CLIPS:
        config = default_config("paper", "eighteen_years_old")
        config.data.dir, config.data.ops = "data/dfdc-box", "standard"
        config.model.clip_length = _CLIPS[network]
        config.validation.batch_size = config.train.batch_size
        return config
    backbone, size, rate, halvings, end = _IMAGES[network]
    config = default_config("paper", "classifier")
    config.data.dir, config.data.ops, config.data.real_repeat = "data/dfdc-box", "standard", 1
    config.model.backbone, config.model.image_size = backbone, size
    config.model.mirrored = network in _MIRRORED
    if backbone != "xception":
        config.model.mean, config.model.std = IMAGENET_MEAN, IMAGENET_STD
    if backbone.startswith("efficientnet"):
        config.model.padding = "nominal"
    config.losses.class_weights = (1.8, 0.2)
    config.optimizer.name, config.optimizer.nesterov = "sgd", True
    config.optimizer.learning_rate, config.optimizer.weight_decay = rate, 1e-4
    config.optimizer.warmup, config.optimizer.schedule = "1000 steps", "step"
    config.optimizer.decay_at = tuple(f"{thousands}000 steps" for thousands in halvings)
    config.train.batch_size = 256 if network == "r34" else 128
    config.train.duration = f"{end}000 steps"
    config.eval.aggregation = "groups_of_five"
    return config
