r"""A network of The Medics (DFDC, fifth), with the loss and optimiser of their code.

    python run_train.py --config=configs/systems/medics.py:mc3_112 \
        --workdir=runs/medics/mc3_112 --config.data.dir=DIR --config.init.path=FILE

DIR holds crops by `--alignment=box --faces=all --crop_size=256 --num_frames=300`, which is every
frame of the challenge's videos: clips are of successive ones. FILE has the weights of Kinetics,
Charades or ImageNet that a network starts from; `mc3_224` starts from runs/medics/mc3_112. The
networks are `i3d`, which is the default, `resnet3d`, `mc3_112`, `mc3_224`, `r2plus1d`,
`i3d_cutmix`, `r2plus1d_cutmix` and, of images, `se_resnext`. `matnet ensemble --ensemble=medics
--workdir=runs/medics` averages their scores. What differs from the authors' training:
docs/systems.md.
"""

from ml_collections import ConfigDict

from matnet_jax.config import default_config
from matnet_jax.detectors.fields import IMAGENET_MEAN, IMAGENET_STD


def get_config(network: str = "i3d") -> ConfigDict:
    """Adam along a cosine, 10 epochs of a clip a video, half of each batch real."""
    if network != "se_resnext":
        config = default_config("paper" if network == "i3d" else network, "medics")
        config.data.dir, config.data.ops = "data/dfdc-box", "standard"
        config.model.mirrored = True
        config.model.clip_length = 64 if network.startswith("i3d") else 32
        config.data.frames_per_video = 1
        config.validation.batch_size = config.train.batch_size
        return config
    config = default_config("paper", "classifier")
    config.data.dir, config.data.ops = "data/dfdc-box", "strong"
    config.data.balance, config.data.real_repeat = "rarer", 1
    config.model.backbone, config.model.image_size = "se-resnext-50", 256
    config.model.mean, config.model.std = IMAGENET_MEAN, IMAGENET_STD
    config.optimizer.name, config.optimizer.learning_rate = "adamw", 1e-4
    config.optimizer.weight_decay = 5e-4
    config.optimizer.schedule, config.optimizer.warmup = "cosine", "3 epochs"
    config.train.batch_size = 16
    config.eval.aggregation = "median"
    return config
