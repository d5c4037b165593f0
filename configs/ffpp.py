"""The paper's training on FaceForensics++, from the records that ``data_pipeline.prepare`` wrote.

    python run_train.py --config=configs/ffpp.py --config.data.dir=DIR --workdir=runs/ffpp

EfficientNet-B4 at 380 pixels, M = 4, SL_t = L2, SL_a = L5, RIL and soft AGDA; Adam, learning rate
1e-3, weight decay 1e-6, batch 48, real frames four times: section 4.1 of the paper.
"""

from ml_collections import ConfigDict

from matnet_jax.config import default_config


def get_config(name: str = "mat") -> ConfigDict:
    """The paper's values are the defaults; named here again are those of section 4.1.

    Args:
      name: of the family of detectors: ``--config=configs/ffpp.py:classifier`` trains another on
        the same data, in the same way.
    """
    config = default_config("paper", name)
    if name == "mat":
        config.model.backbone = "efficientnet-b4"
        config.model.image_size = 380
        config.model.num_attentions = 4
    config.optimizer.name = "adam"
    config.optimizer.learning_rate = 1e-3
    config.optimizer.weight_decay = 1e-6
    config.train.batch_size = 48
    config.data.real_repeat = 4
    config.data.dir = "data/ffpp"
    return config
