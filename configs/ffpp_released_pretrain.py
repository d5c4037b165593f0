"""First stage of the released code: a plain EfficientNet-B4 on FaceForensics++ c23.

    python run_train.py --config=configs/ffpp_released_pretrain.py --workdir=runs/pretrain

20 epochs, 16 images a GPU (here: four). The released script starts from AdvProp's ImageNet weights:
give their file as --config.init.path.
"""

from ml_collections import ConfigDict

from matnet_jax.config import default_config


def get_config() -> ConfigDict:
    """No attention, no augmentation by it."""
    config = default_config("released", "classifier")
    config.model.backbone = "efficientnet-b4"
    config.model.image_size = 380
    config.model.padding = "nominal"
    config.data.dir = "data/ffpp"
    config.train.batch_size = 64
    config.train.duration = "20 epochs"
    return config
