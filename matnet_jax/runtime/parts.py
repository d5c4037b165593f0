"""Batches in parts: on CPUs a network computes many images a few at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import jax
import numpy as np

from data_pipeline.cores import usable_cores

Out = TypeVar("Out")


def images_at_once(batch_size: int, *, frames: int = 1) -> int:
    """How many images, or clips, of a batch a network computes at a time.

    On CPUs one a core, since what is computed of a few images stays in the cores' caches, and of
    many goes through memory (docs/performance.md); elsewhere all.

    Args:
      frames: of a clip; each is an image.
    """
    if jax.default_backend() != "cpu":
        return batch_size
    return max(1, min(batch_size, usable_cores() // frames))


def in_parts(
    run: Callable[[np.ndarray], Out], size: int, *, pad: bool
) -> Callable[[np.ndarray], Out]:
    """A function of any number of images, by one of at most `size`.

    Args:
      run: of images [n, ...]; its result is a tree of arrays [n, ...].
      pad: whether it takes `size` images and no fewer, as what is compiled for one shape.

    Returns:
      A function with the results of `run` as NumPy arrays.
    """

    def of_part(images: np.ndarray) -> Any:
        count = len(images)
        if pad and count < size:
            padded = np.zeros((size, *images.shape[1:]), images.dtype)
            padded[:count] = images
            images = padded
        return jax.tree.map(lambda array: array[:count], jax.device_get(run(images)))

    def of_all(images: np.ndarray) -> Any:
        parts = [of_part(images[at : at + size]) for at in range(0, len(images), size)]
        return parts[0] if len(parts) == 1 else jax.tree.map(lambda *a: np.concatenate(a), *parts)

    return of_all
