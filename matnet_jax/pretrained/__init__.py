"""Foreign checkpoints into our variables, strictly."""

from matnet_jax.pretrained.torch_mat import from_torch_state_dict
from matnet_jax.pretrained.tree import CheckpointMismatchError

__all__ = ["CheckpointMismatchError", "from_torch_state_dict"]
