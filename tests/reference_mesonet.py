"""MesoNet in slow NumPy, float64, written from its layer tables: golden values for the test.

Weights come by layer in Keras's layouts: kernels [k, k, in, out], batch norms (gamma, beta, mean,
variance), dense kernels [in, out].
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

Layers = Mapping[str, Sequence[np.ndarray]]


def layer_shapes(name: str, size: int = 256) -> Iterator[tuple[str, list[tuple[int, ...]]]]:
    """Layers in the authors' order with the shapes of their arrays, for images of `size` pixels."""
    convolutions = {
        "meso4": [(3, 3, 8), (5, 8, 8), (5, 8, 16), (5, 16, 16)],
        "mesoinception4": [
            *[(1, 3, 1), (1, 3, 4), (3, 4, 4), (1, 3, 4), (3, 4, 4), (1, 3, 2), (3, 2, 2)],
            *[(1, 11, 2), (1, 11, 4), (3, 4, 4), (1, 11, 4), (3, 4, 4), (1, 11, 2), (3, 2, 2)],
            *[(5, 12, 16), (5, 16, 16)],
        ],
    }[name]
    norms = {"meso4": (8, 8, 16, 16), "mesoinception4": (11, 12, 16, 16)}[name]
    for i, (kernel, channels, features) in enumerate(convolutions, start=1):
        yield f"conv2d_{i}", [(kernel, kernel, channels, features), (features,)]
    for i, width in enumerate(norms, start=1):
        yield f"batch_normalization_{i}", [(width,)] * 4
    yield "dense_1", [((size // 32) ** 2 * 16, 16), (16,)]
    yield "dense_2", [(16, 1), (1,)]


def pattern_fill(name: str, size: int = 256) -> dict[str, list[np.ndarray]]:
    """Weights that anybody can make again: normals of NumPy's frozen legacy stream, in order."""
    stream = np.random.RandomState(0)
    layers: dict[str, list[np.ndarray]] = {}
    for layer, shapes in layer_shapes(name, size):
        arrays = []
        for position, shape in enumerate(shapes):
            n = stream.standard_normal(shape)
            if layer.startswith("batch_normalization"):
                array = (1 + 0.1 * n, 0.1 * n, 0.1 * n, 1 + 0.1 * np.abs(n))[position]
            elif len(shape) > 1:
                array = n / np.sqrt(np.prod(shape[:-1]))
            else:
                array = 0.1 * n
            arrays.append(array.astype(np.float32))
        layers[layer] = arrays
    return layers


def pattern_images(batch: int, size: int) -> np.ndarray:
    """Images [B, size, size, 3] with values in [0, 1]."""
    wave = np.sin((0.37 * np.arange(batch * size * size * 3)) % 7)
    return (wave.reshape(batch, size, size, 3) + 1) / 2


def real_logit(name: str, layers: Layers, images: np.ndarray) -> np.ndarray:
    """Of the authors' sigmoid, near 1 for a real face: images [B, H, W, 3] in [0, 1] -> [B]."""
    queue = iter(layer for key, layer in layers.items() if key.startswith("conv2d"))
    x = np.asarray(images, np.float64)
    for block, pool in ((1, 2), (2, 2), (3, 2), (4, 4)):
        if name == "mesoinception4" and block <= 2:
            branches = [conv_relu(x, next(queue))]
            for dilation in (1, 2, 3):
                narrow = conv_relu(x, next(queue))
                branches.append(conv_relu(narrow, next(queue), dilation))
            x = np.concatenate(branches, axis=-1)
        else:
            x = conv_relu(x, next(queue))
        gamma, beta, mean, variance = layers[f"batch_normalization_{block}"]
        x = gamma * (x - mean) / np.sqrt(variance + 1e-3) + beta
        b, h, w, c = x.shape
        x = x.reshape(b, h // pool, pool, w // pool, pool, c).max((2, 4))
    kernel, bias = layers["dense_1"]
    x = x.reshape(len(x), -1) @ kernel.astype(np.float64) + bias
    x = np.where(x > 0, x, 0.1 * x)
    kernel, bias = layers["dense_2"]
    return (x @ kernel.astype(np.float64) + bias)[:, 0]


def conv_relu(x: np.ndarray, layer: Sequence[np.ndarray], dilation: int = 1) -> np.ndarray:
    """Convolution of stride 1, zeros outside, and ReLU: a shifted product a tap."""
    kernel, bias = layer
    k, reach = len(kernel), dilation * (len(kernel) // 2)
    padded = np.pad(x, ((0, 0), (reach, reach), (reach, reach), (0, 0)))
    h, w = x.shape[1:3]
    y = np.zeros((*x.shape[:3], kernel.shape[-1]))
    for i in range(k):
        for j in range(k):
            rows, columns = slice(i * dilation, i * dilation + h), j * dilation
            y += padded[:, rows, columns : columns + w] @ kernel[i, j].astype(np.float64)
    return np.maximum(y + bias, 0)
