"""Layer names of Keras Applications' EfficientNet and Xception, and what their inputs are."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from matnet_jax.pretrained.keras_files import KerasWeights, layer_configs
from matnet_jax.pretrained.torch_names import Rule, rename

EFFICIENTNET: tuple[Rule, ...] = (
    (r"(stem_conv|stem_bn)", r"features/\1"),
    (r"top_(conv|bn)", r"features/head_\1"),
    (r"(block\d+[a-z])_(expand_conv|expand_bn|project_conv|project_bn)", r"features/\1/\2"),
    (r"(block\d+[a-z])_dwconv", r"features/\1/depthwise_conv"),
    (r"(block\d+[a-z])_bn", r"features/\1/depthwise_bn"),
    (r"(block\d+[a-z])_se_(reduce|expand)", r"features/\1/se/\2"),
    (r"predictions", "head"),
)

# Keras counts the two plain convolutions as block 1, so its block n + 1 is our block n.
XCEPTION: tuple[Rule, ...] = (
    (r"block1_conv(\d)", r"features/conv\1"),
    (r"block1_conv(\d)_bn", r"features/bn\1"),
    (r"block14_sepconv1", "features/conv3"),
    (r"block14_sepconv1_bn", "features/bn3"),
    (r"block14_sepconv2", "features/conv4"),
    (r"block14_sepconv2_bn", "features/bn4"),
    *[
        rule
        for block in range(1, 13)
        for i in range(3)
        for rule in (
            (rf"block{block + 1}_sepconv{i + 1}", rf"features/block{block}/conv_{i}"),
            (rf"block{block + 1}_sepconv{i + 1}_bn", rf"features/block{block}/bn_{i}"),
        )
    ],
    (r"predictions", "head"),
)
# Its skips' layers have automatic names, numbered in the order of these blocks.
_XCEPTION_SKIPS = (1, 2, 3, 12)

BATCH_NORM_EPSILON = 1e-3  # of both networks
_IMAGENET_STD = (0.229, 0.224, 0.225)
_NORMALIZATION = re.compile(r"normalization(_\d+)?")  # Keras counts them through a session


def is_xception(weights: KerasWeights) -> bool:
    """Whether the layers are Xception's rather than EfficientNet's."""
    return "block1_conv1" in weights.layers


def is_efficientnet(weights: KerasWeights) -> bool:
    """Whether the layers are EfficientNet's."""
    return "stem_conv" in weights.layers and "block1a_dwconv" in weights.layers


def convert(weights: KerasWeights) -> tuple[dict[str, np.ndarray], list[str]]:
    """Arrays by our path, and the layers with weights that no rule knows."""
    rules = XCEPTION if is_xception(weights) else EFFICIENTNET
    paths = {name: rename(name, rules) for name in weights.layers}
    paths |= _skips(weights.layers) if is_xception(weights) else {}
    numbers = _block_numbers(weights.layers)
    arrays: dict[str, np.ndarray] = {}
    unexpected = []
    for name, values in weights.layers.items():
        path = paths[name]
        if path is None:
            if not _NORMALIZATION.fullmatch(name):
                unexpected.append(name)
            continue
        path = re.sub(r"block\d+[a-z](?=/)", lambda m: f"block_{numbers[m[0]]}", path)
        arrays |= to_ours(path, values)
    return arrays, unexpected


def to_ours(path: str, values: list[np.ndarray]) -> dict[str, np.ndarray]:
    """A layer's arrays: four vectors are a batch norm, two 4-D arrays a separable convolution."""
    if len(values) == 4:
        scale, bias, mean, var = values
        return {
            f"params/{path}/scale": scale,
            f"params/{path}/bias": bias,
            f"batch_stats/{path}/mean": mean,
            f"batch_stats/{path}/var": var,
        }
    kernel = values[0]
    if len(values) == 2 and values[1].ndim == 4:
        return {
            f"params/{path}/depthwise/kernel": kernel[..., 0],
            f"params/{path}/pointwise/kernel": values[1],
        }
    if path.endswith("depthwise_conv"):
        kernel = kernel[..., 0]
    named = {f"params/{path}/kernel": kernel}
    return named | ({f"params/{path}/bias": values[1]} if len(values) == 2 else {})


def _skips(layers: Mapping[str, list[np.ndarray]]) -> dict[str, str]:
    """Paths of Xception's unnamed layers: a 1×1 convolution and a batch norm to each skip."""
    unnamed = [name for name in layers if not re.match(r"block\d|predictions", name)]
    found: dict[str, str] = {}
    for count, part in ((1, "skip_conv"), (4, "skip_bn")):
        own = sorted((n for n in unnamed if len(layers[n]) == count), key=_trailing_number)
        if len(own) == len(_XCEPTION_SKIPS):
            blocks = zip(own, _XCEPTION_SKIPS, strict=True)
            found |= {name: f"features/block{block}/{part}" for name, block in blocks}
    return found


def _trailing_number(name: str) -> int:
    number = re.search(r"(\d+)$", name)
    return int(number[1]) if number and "_" in name else 0


def _block_numbers(layers: Mapping[str, Any]) -> dict[str, int]:
    """Name such as "block2b" -> the block's number in the whole network."""
    found = {m[1] for m in (re.match(r"(block\d+[a-z])_", name) for name in layers) if m}
    return {name: number for number, name in enumerate(sorted(found))}


def input_statistics(weights: KerasWeights) -> dict[str, tuple[float, ...]]:
    """``mean`` and ``std`` of pixels in [0, 1] that the first convolution expects, if it says.

    Keras's EfficientNet normalises inside the model: it rescales, subtracts a mean and divides by
    the root of a "variance", and in ImageNet models rescales once more. The saved config tells
    which; in a file of weights alone the ImageNet models are known by their "variance", which is
    really a standard deviation.
    """
    found = next((name for name in weights.layers if _NORMALIZATION.fullmatch(name)), None)
    if found is None:
        return {}
    arrays = weights.layers[found][:2]
    mean, variance = (np.asarray(array, np.float64).ravel() for array in arrays)
    before, after = np.full(3, 1.0 / 255.0), np.ones(3)
    layers = layer_configs(weights.config)
    if layers:
        seen = False
        for layer in layers:
            seen = seen or layer["class_name"] == "Normalization"
            if layer["class_name"] == "Rescaling":
                scale = np.broadcast_to(np.asarray(layer["config"]["scale"], np.float64), 3)
                before, after = (before, after * scale) if seen else (scale, after)
    elif np.allclose(variance, _IMAGENET_STD, rtol=1e-3):
        after = 1.0 / np.sqrt(_IMAGENET_STD)
    unit = before * 255.0
    std = np.maximum(np.sqrt(variance), 1e-7) / after
    return {"mean": _numbers(mean / unit), "std": _numbers(std / unit)}


def _numbers(values: np.ndarray) -> tuple[float, ...]:
    return tuple(float(f"{value:.7g}") for value in np.broadcast_to(values, 3))


def config_epsilon(weights: KerasWeights) -> float:
    """Epsilon of the batch norms: the saved config's, or Keras's own."""
    for layer in layer_configs(weights.config):
        if layer["class_name"] == "BatchNormalization":
            return float(layer["config"]["epsilon"])
    return BATCH_NORM_EPSILON
