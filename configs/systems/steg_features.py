r"""Steg.Features, a reconstruction: fitted at once, as FaceForensics++'s benchmark did.

    matnet probe --config=configs/systems/steg_features.py --config.data.dir=DIR \
        --classifier=svm --frames_per_video=10 --save=runs/steg_features --out=runs/steg_fit
    python run_eval.py --config=configs/systems/steg_features.py --workdir=runs/steg_features \
        --config.data.dir=DIR

DIR holds crops by `--alignment=box --crop_size=256`, whose middle 128 pixels are looked at.
run_train.py trains it too, by steps, and is no way to the machine's best line. What differs from
the benchmark: docs/systems.md.
"""

from ml_collections import ConfigDict

from matnet_jax.config import default_config


def get_config() -> ConfigDict:
    """162 co-occurrences of the middle 128 pixels; by steps, Adam at 1e-2 and the hinge loss."""
    config = default_config("paper", "steg_features")
    config.data.dir = "data/ffpp-box"
    return config
