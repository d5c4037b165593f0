"""Weights: of other frameworks and earlier runs, read strictly; and those that are handed out."""

from matnet_jax.detectors.assembly import WeightsMismatchError
from matnet_jax.pretrained.files import CheckpointFileError, load_state_dict
from matnet_jax.pretrained.load import from_pretrained, initialize, model_fields, read_weights
from matnet_jax.pretrained.packaged import names
from matnet_jax.pretrained.torch_mat import from_torch_state_dict

__all__ = [
    "CheckpointFileError",
    "WeightsMismatchError",
    "from_pretrained",
    "from_torch_state_dict",
    "initialize",
    "load_state_dict",
    "model_fields",
    "names",
    "read_weights",
]
