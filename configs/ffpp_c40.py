r"""The paper's training on FaceForensics++ LQ (c40), from the network trained on HQ (c23).

    python run_train.py --config=configs/ffpp_c40.py --workdir=runs/ffpp-c40 \
        --config.init.path=runs/ffpp --config.data.dir=DIR

Section 4.3.1 of the paper: weights trained on c23 speed up convergence on c40. The optimiser, its
schedule and the rate of the feature centers start afresh.
"""

from ml_collections import ConfigDict

from matnet_jax.config import default_config


def get_config() -> ConfigDict:
    """The values of configs/ffpp.py, and where to start from."""
    config = default_config("paper")
    config.init.path = "runs/ffpp"
    config.data.dir = "data/ffpp-c40"
    return config
