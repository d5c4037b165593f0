r"""MAT over the blocks of CLIP's ViT-L/14, whose layer norms train beside MAT's own parts.

    python run_train.py --config=configs/mat_clip_l.py --workdir=runs/mat-clip \
        --config.data.dir=DIR --config.init.path=FILE

DIR and FILE as for configs/gend_clip_l.py. No one has published this network; its rates are GenD's.
See docs/transformers.md.
"""

from ml_collections import ConfigDict

from matnet_jax.config import default_config
from matnet_jax.detectors.fields import CLIP_MEAN, CLIP_STD


def get_config() -> ConfigDict:
    """Attention on block 18, textures of block 6 in 64 channels, RIL and AGDA of the paper."""
    config = default_config("paper")
    config.data.dir = "data/ffpp-box"
    config.model.backbone = "clip-vit-l-14"
    config.model.attention_stage = "block18"
    config.model.texture_stage = "block6"
    config.model.texture_dims = 64
    config.model.texture_pool = 2
    config.model.dtype = "bfloat16"
    config.model.mean, config.model.std = CLIP_MEAN, CLIP_STD
    config.train.batch_size = 32
    config.train.remat = True
    config.optimizer.name = "adamw"
    config.optimizer.learning_rate = 3e-4
    config.optimizer.weight_decay = 0.0
    config.optimizer.schedule = "cosine"
    config.optimizer.final_fraction = 1 / 30
    config.optimizer.warmup = "1 epoch"
    config.optimizer.freeze = ("features",)
    config.optimizer.unfreeze = ("features/*norm_*",)
    return config
