r"""Second stage of the released code: MAT, from the plain classifier of the first stage.

    python run_train.py --config=configs/ffpp_released.py --workdir=runs/released \
        --config.init.path=runs/pretrain

30 epochs with a fresh schedule, 15 images a GPU (here: four), SL_t = b2, SL_a = b5, m_out = 0.8;
every array of equal name and shape is taken from the first stage, its head included.
"""

from ml_collections import ConfigDict

from matnet_jax.config import default_config


def get_config() -> ConfigDict:
    """What the released main script runs; its defaults are the recipe's."""
    config = default_config("released")
    config.model.backbone = "efficientnet-b4"
    config.model.image_size = 380
    config.model.texture_stage = "b2"
    config.model.attention_stage = "b5"
    config.init.path = "runs/pretrain"
    config.init.strict = False
    config.losses.outer_margin = 0.8
    config.data.dir = "data/ffpp"
    config.train.batch_size = 60
    config.train.duration = "30 epochs"
    return config
