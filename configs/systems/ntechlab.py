r"""One of NTechLab's three networks (DFDC, third), with the loss and optimiser of their code.

    python run_train.py --config=configs/systems/ntechlab.py:sequence \
        --workdir=runs/ntechlab/sequence --config.data.dir=DIR --config.init.path=b7.pth

DIR holds crops by `--alignment=box --margin=1.5`; for `sequence` with `--num_frames=150` too, 15 a
second of the challenge's videos, since its clips are of 7 successive ones. The file is
EfficientNet-B7 of `efficientnet_pytorch`, NoisyStudent's weights. The networks are `large_crop`,
which is the default, `erasing` and `sequence`; `matnet ensemble --ensemble=ntechlab
--workdir=runs/ntechlab` pools their scores. What differs from the authors' training:
docs/systems.md.
"""

from ml_collections import ConfigDict

from matnet_jax.config import default_config

_RECIPES = {"large_crop": "paper", "erasing": "erasing", "sequence": "sequence"}


def get_config(network: str = "large_crop") -> ConfigDict:
    """SGD at 5e-3 falling to 0, 100,000 steps of 64 mixtures of a real and a fake face.

    Of `sequence`, 8 mixtures of clips, of 56 faces.
    """
    config = default_config(_RECIPES[network], "ntechlab")
    config.seed = {"large_crop": 30, "erasing": 10, "sequence": 20}[network]
    config.data.dir = "data/dfdc-box"
    config.data.ops = "standard"
    if network == "sequence":
        config.model.clip_length = 7
        config.train.batch_size = config.validation.batch_size = 8
    return config
