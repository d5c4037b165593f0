r"""QTFP on CLIP's ViT-L/14: queries in place of the class's token, over a backbone as Effort's.

    python run_train.py --config=configs/qtfp_clip_l.py --workdir=runs/qtfp \
        --config.data.dir=DIR --config.init.path=FILE

DIR and FILE as for configs/gend_clip_l.py. See docs/transformers.md.
"""

from ml_collections import ConfigDict

from matnet_jax.config import default_config


def get_config() -> ConfigDict:
    """Adam at 2e-4, weight decay 5e-4, batches of 16, 8 frames a video, 10 epochs, bfloat16."""
    config = default_config("paper", "qtfp")
    config.data.dir = "data/ffpp-box"
    config.data.ops = "standard"
    config.model.backbone = "clip-vit-l-14"
    config.model.dtype = "bfloat16"
    config.train.remat = True
    return config
