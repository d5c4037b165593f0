r"""One of Selim Seferbekov's seven networks (DFDC, first), with the loss and optimiser of his code.

    python run_train.py --config=configs/systems/selim_b7.py --workdir=runs/selim/111_36 \
        --config.seed=111 --config.data.dir=DIR --config.init.path=tf_efficientnet_b7_ns.pth

DIR holds crops by `--alignment=box --margin=1.67 --crop_size=380`. The file is timm's NoisyStudent
weights. The seven differ by seed and step; `matnet ensemble --ensemble=selim --workdir=runs/selim`
averages them. What differs from the author's training: docs/systems.md.
"""

from ml_collections import ConfigDict

from matnet_jax.config import default_config
from matnet_jax.detectors.fields import IMAGENET_MEAN, IMAGENET_STD


def get_config() -> ConfigDict:
    """SGD at 1e-2 along a polynomial, 100,500 steps of 48, each class half of the cross entropy."""
    config = default_config("paper", "classifier")
    config.data.dir = "data/dfdc-box"
    config.data.ops = "part_removed"
    config.data.balance = "batch"
    config.data.real_repeat = 1
    config.model.backbone = "efficientnet-b7"
    config.model.image_size = 380
    config.model.mean = IMAGENET_MEAN
    config.model.std = IMAGENET_STD
    config.model.dropout_rate = 0.0
    config.losses.each_class = True
    config.losses.label_smoothing = 0.02
    config.optimizer.name = "sgd"
    config.optimizer.learning_rate = 1e-2
    config.optimizer.nesterov = True
    config.optimizer.weight_decay = 1e-4
    config.optimizer.clip_norm = 1.0
    config.optimizer.schedule = "linear"
    config.optimizer.power = 0.9
    config.train.batch_size = 48
    config.train.duration = "100500 steps"
    config.eval.aggregation = "confident_vote"
    return config
