r"""Face X-ray, trained as its paper says: on real faces and on blends of two real faces.

    python run_train.py --config=configs/systems/face_xray.py --workdir=runs/face_xray \
        --config.data.dir=DIR --config.init.path=hrnetv2_w48.pth

Its forged faces are blended from real ones while it trains, and bring soft masks: set the mixture
of `config.data` that makes them. Records with masks of forgeries train it too, with
`--config.losses.soften_pixels=8` or so, since a hard mask has no X-ray. DIR holds crops by
`--alignment=box --crop_size=256`. What differs from the paper: docs/systems.md.
"""

from ml_collections import ConfigDict

from matnet_jax.config import default_config


def get_config() -> ConfigDict:
    """Adam at 2e-4, 200,000 steps of 32 faces, cross entropy of the X-ray, 100 times, and face."""
    config = default_config("paper", "face_xray")
    config.data.dir = "data/ffpp-box"
    return config
