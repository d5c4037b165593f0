r"""Face X-ray, trained as its paper says: on real faces and on blends of two real faces.

    python run_train.py --config=configs/systems/face_xray.py --workdir=runs/face_xray \
        --config.data.dir=DIR --config.init.path=hrnetv2_w48.pth

In the paper the backbone stands still for the first 50,000 of these steps, with ImageNet's weights:

    python run_train.py --config=configs/systems/face_xray.py --workdir=runs/face_xray-head \
        --config.data.dir=DIR --config.init.path=hrnetv2_w48.pth \
        --config.optimizer.freeze="('features',)" \
        --config.train.duration="50000 steps" --config.optimizer.hold="50000 steps"
    python run_train.py --config=configs/systems/face_xray.py --workdir=runs/face_xray \
        --config.data.dir=DIR --config.init.path=runs/face_xray-head \
        --config.train.duration="150000 steps" --config.optimizer.hold="100000 steps"

Its forged faces are made of two real ones while it trains, with soft masks: no fakes are read. DIR
holds records by `--alignment=box --margin=2.6 --crop_size=540 --landmarks=face_mesh`. To train it
on forgeries with masks instead, `--config.data.mixture="()"` and `--config.losses.soften_pixels=8`
or so, since a hard mask has no X-ray. What differs from the paper: docs/systems.md.
"""

from ml_collections import ConfigDict

from matnet_jax.config import default_config


def get_config() -> ConfigDict:
    """Adam at 2e-4, falling at last, 200,000 steps of 16 pairs, 100 times the X-ray's loss."""
    config = default_config("paper", "face_xray")
    config.data.dir = "data/ffpp-box"
    config.data.crop_margin = 1.25
    config.data.mixture = ("face_xray=1",)
    config.validation.fakes = "face_xray"
    config.validation.batch_size = 32
    return config
