r"""Effort on CLIP's ViT-L/14: the smallest singular triplet of each attention layer trains.

    python run_train.py --config=configs/effort_clip_l.py --workdir=runs/effort \
        --config.data.dir=DIR --config.init.path=FILE

DIR and FILE as for configs/gend_clip_l.py. Without a file the triplets have nothing to do with the
kernels, which no one should train. See docs/transformers.md.
"""

from ml_collections import ConfigDict

from matnet_jax.config import default_config


def get_config() -> ConfigDict:
    """Adam at 2e-4, weight decay 5e-4, batches of 32, 8 frames a video, 10 epochs, bfloat16."""
    config = default_config("paper", "effort")
    config.data.dir = "data/ffpp-box"
    config.data.ops = "standard"
    config.model.backbone = "clip-vit-l-14"
    config.model.dtype = "bfloat16"
    config.train.remat = True
    return config
