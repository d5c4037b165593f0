r"""WS-DAN of the team \WM/ (DFDC, second), with the losses and optimiser of their code.

    python run_train.py --config=configs/systems/wsdan.py --workdir=runs/wm/wsdan-xception \
        --config.data.dir=DIR --config.init.path=runs/wm/xception
    python run_train.py --config=configs/systems/wsdan.py:efficientnet-b3 \
        --workdir=runs/wm/wsdan-efficientnet-b3 --config.data.dir=DIR --config.init.path=b3.pth

DIR holds crops by `--alignment=similarity --margin=1.34 --crop_size=320`. The first starts from
the team's plain Xception (configs/systems/wm_xception.py), the second from ImageNet's weights.
`matnet ensemble --ensemble=wm --workdir=runs/wm` weighs the three. What differs from the authors'
training: docs/systems.md.
"""

from ml_collections import ConfigDict

from matnet_jax.config import default_config


def get_config(backbone: str = "xception") -> ConfigDict:
    """SGD at 1e-3, times 0.95 an epoch, 60 epochs of batches of 40: image, crop and drop."""
    config = default_config("paper", "wsdan")
    config.data.dir = "data/dfdc"
    config.data.frames_per_video = 20
    config.data.ops = "standard"
    config.model.backbone = backbone
    if backbone == "efficientnet-b3":
        config.model.image_size = 300
        config.model.padding = "nominal"
    return config
