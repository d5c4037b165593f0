r"""MAT on self-blended images: the paper's network and losses, no fakes of the records.

    python run_train.py --config=configs/mat_sbi.py --workdir=runs/mat-sbi --config.data.dir=DIR \
        --config.init.path=adv-efficientnet-b4-44fb3a87.pth

DIR as for configs/sbi_b4.py, whose batches these are. The optimiser is MAT's: Adam, without SAM.
"""

from ml_collections import ConfigDict

from matnet_jax.config import default_config


def get_config() -> ConfigDict:
    """MAT of section 4.1, 16 reals and their 16 fakes a step, 8 frames a video."""
    config = default_config("paper")
    config.data.dir = "data/ffpp-box"
    config.data.crop_margin = 1.25
    config.data.mixture = ("self_blended=1",)
    config.data.frames_per_video = 8
    config.train.batch_size = 32
    config.train.duration = "100 epochs"
    config.optimizer.schedule = "linear"
    config.optimizer.hold = "75 epochs"
    config.validation.fakes = "self_blended"
    config.validation.batch_size = 32
    return config
