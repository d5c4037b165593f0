r"""GenD on CLIP's ViT-L/14: layer norms and a dense layer train, 0.03 % of the network.

    python run_train.py --config=configs/gend_clip_l.py --workdir=runs/gend --config.data.dir=DIR \
        --config.init.path=FILE

DIR holds crops by `--alignment=box --margin=1.3`, FILE the image tower of OpenAI's CLIP ViT-L/14,
as `transformers`, open_clip or timm save it. See docs/transformers.md.
"""

from ml_collections import ConfigDict

from matnet_jax.config import default_config


def get_config() -> ConfigDict:
    """AdamW at 3e-4 along a cosine, batches of 128, 32 frames a video, bfloat16."""
    config = default_config("paper", "gend")
    config.data.dir = "data/ffpp-box"
    config.data.ops = "standard"
    config.model.backbone = "clip-vit-l-14"
    config.model.dtype = "bfloat16"
    config.train.remat = True
    return config
