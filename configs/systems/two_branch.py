r"""Two Branch, a reconstruction, trained on clips of FaceForensics++.

    python run_train.py --config=configs/systems/two_branch.py --workdir=runs/two_branch \
        --config.data.dir=DIR --config.init.path=densenet121-a639ec97.pth

DIR holds crops by `--alignment=similarity --crop_size=224 --num_frames=160`, as the paper's faces
are aligned; a clip is of 10 of these, about a second of a video of 16. The file is torchvision's
DenseNet-121 of ImageNet. What differs from the paper: docs/systems.md.
"""

from ml_collections import ConfigDict

from matnet_jax.config import default_config


def get_config() -> ConfigDict:
    """Adam at 1e-4 along a cosine, batches of 16, half of them real: distances from the centre.

    An epoch has 16 clips of a video, as many as there are without overlap.
    """
    config = default_config("paper", "two_branch")
    config.data.dir = "data/ffpp"
    config.model.clip_length, config.data.frames_per_video = 10, 16
    config.validation.batch_size = 16
    return config
