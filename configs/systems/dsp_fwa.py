r"""DSP-FWA, trained as FWA is: its own training was not published.

    python run_train.py --config=configs/systems/dsp_fwa.py --workdir=runs/dsp_fwa \
        --config.data.dir=DIR --config.init.path=resnet50.pth

Records and forged faces are those of configs/systems/fwa.py.
"""

from ml_collections import ConfigDict

from matnet_jax.config import default_config


def get_config() -> ConfigDict:
    """SGD at 1e-3, ×0.95 after every epoch, 20 epochs of batches of 64, cross entropy."""
    config = default_config("paper", "dsp_fwa")
    config.data.dir = "data/ffpp-box"
    config.data.crop_margin = 1.25
    config.data.mixture = ("fwa=1",)
    config.validation.fakes = "fwa"
    config.validation.batch_size = 32
    return config
