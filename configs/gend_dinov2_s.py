r"""GenD on DINOv2's ViT-S/14: the smallest transformer that is worth its file.

    python run_train.py --config=configs/gend_dinov2_s.py --workdir=runs/gend-s \
        --config.data.dir=DIR --config.init.path=FILE

As configs/gend_clip_l.py; FILE is DINOv2's ViT-S/14, as its authors, `transformers`
or timm save it.
"""

from ml_collections import ConfigDict

from matnet_jax.config import default_config
from matnet_jax.detectors.fields import IMAGENET_MEAN, IMAGENET_STD


def get_config() -> ConfigDict:
    """GenD's training, with ImageNet's mean and deviation."""
    config = default_config("paper", "gend")
    config.data.dir = "data/ffpp-box"
    config.data.ops = "standard"
    config.model.backbone = "dinov2-vit-s-14"
    config.model.mean = IMAGENET_MEAN
    config.model.std = IMAGENET_STD
    return config
