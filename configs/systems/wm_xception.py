r"""The plain Xception of the team \WM/ (DFDC, second), with the optimiser of their code.

    python run_train.py --config=configs/systems/wm_xception.py --workdir=runs/wm/xception \
        --config.data.dir=DIR --config.init.path=xception-b5690688.pth

DIR holds crops by `--alignment=similarity --margin=1.34 --crop_size=320`. The file is Cadene's
Xception of ImageNet. What differs from the authors' training: docs/systems.md.
"""

from ml_collections import ConfigDict

from matnet_jax.config import default_config


def get_config() -> ConfigDict:
    """SGD at 1e-2, times 0.2 every two epochs, batches of 128, cross entropy."""
    config = default_config("paper", "classifier")
    config.data.dir = "data/dfdc"
    config.data.ops = "standard"
    config.data.real_repeat = 5
    config.model.backbone = "xception"
    config.model.image_size = 299
    config.optimizer.name = "sgd"
    config.optimizer.learning_rate = 1e-2
    config.optimizer.weight_decay = 1e-4
    config.optimizer.schedule = "step"
    config.optimizer.decay_every = "2 epochs"
    config.optimizer.decay_rate = 0.2
    config.train.batch_size = 128
    return config
