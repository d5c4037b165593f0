"""Weights and images that anybody can make again, in PyTorch's names and layouts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

Shapes = Iterable[tuple[str, tuple[int, ...]]]


def fill(shapes: Shapes) -> dict[str, np.ndarray]:
    """A state dict: normals of NumPy's frozen legacy stream, in the order of PyTorch's own."""
    stream = np.random.RandomState(0)
    state = {}
    for name, shape in shapes:
        n = stream.standard_normal(shape)
        if name.endswith("running_var"):
            n = 1 + 0.1 * np.abs(n)
        elif name.endswith("running_mean"):
            n = 0.1 * n
        elif len(shape) >= 2:
            n = n / np.sqrt(np.prod(shape[1:]))
        else:
            n = 1 + 0.1 * n if name.endswith("weight") else 0.1 * n
        state[name] = n.astype(np.float32)
    return state


def images(batch: int, size: int) -> np.ndarray:
    """Float32 [B, S, S, 3], a wave over the index of [B, 3, S, S]."""
    wave = np.sin((0.37 * np.arange(batch * 3 * size * size)) % 7)
    return wave.reshape(batch, 3, size, size).transpose(0, 2, 3, 1).astype(np.float32)


def biased(name: str, *weight: int, bias: int | None = None) -> Iterator[tuple[str, tuple]]:
    """A layer's weight and bias, the bias of the first axis unless said."""
    yield f"{name}.weight", weight
    yield f"{name}.bias", (weight[0] if bias is None else bias,)


def norm(name: str, channels: int) -> Iterator[tuple[str, tuple]]:
    """A batch norm's four arrays."""
    for leaf in ("weight", "bias", "running_mean", "running_var"):
        yield f"{name}.{leaf}", (channels,)


def save(path: Path, state: Mapping[str, np.ndarray]) -> Path:
    """A file of these arrays, which is read without PyTorch."""
    save_file(dict(state), path)
    return path
