"""Our variables as the PyTorch peer's state dict."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from flax import traverse_util
from torch import Tensor, from_numpy

from matnet_jax.pretrained.torch_mat import convert


def to_torch(variables: Mapping[str, Any], like: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Our variables by the peer's names and in its layouts.

    Where an entry goes is the converter's affair: it is given the positions of each array's
    entries in place of weights, and what it makes of them is read backwards.

    Args:
      variables: some of our collections, such as params, or trees like them, such as gradients.
      like: the peer's state dict. Names of other collections, and of what ours has not, are left
        out.

    Raises:
      KeyError: a collection lacks an array, or the converter does not know its name.
    """
    ours = traverse_util.flatten_dict(dict(variables), sep="/")
    values = {}
    for name, value in like.items():
        positions = np.arange(value.numel()).reshape(value.shape)
        arrays, unexpected = convert({name: positions}, is_xception=False, is_mat=True)
        if unexpected:
            raise KeyError(f"the converter does not know '{name}'")
        for path, moved in arrays.items():
            if path.split("/")[0] not in variables:
                continue
            flat = np.empty(value.numel(), np.float32)
            flat[moved.reshape(-1)] = np.asarray(ours[path]).reshape(-1)
            values[name] = from_numpy(flat.reshape(tuple(value.shape)))
    return values
