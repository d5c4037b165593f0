"""State dicts with the names of foreign code, made from our arrays: its schemes, seen from here."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from matnet_jax.backbones import VARIANTS
from matnet_jax.detectors.assembly import variable_shapes

Arrays = dict[str, np.ndarray]


def timm_state_dict(arrays: Mapping[str, np.ndarray], backbone: str) -> Arrays:
    """Names of timm's `tf_efficientnet_b*`."""
    repeats = [int(np.ceil(n * VARIANTS[backbone].depth)) for n in (1, 2, 2, 3, 3, 4, 1)]
    return dict(
        to_torch(path, value, timm_module(module_of(path), repeats))
        for path, value in arrays.items()
    )


def cadene_state_dict(arrays: Mapping[str, np.ndarray]) -> Arrays:
    """Names of Cadene's Xception."""
    return dict(to_torch(p, value, cadene_module(module_of(p))) for p, value in arrays.items())


def random_variables(model: Any, seed: int = 0) -> Arrays:
    """Arrays by path with statistics that show a wrong name."""
    draw, arrays = np.random.default_rng(seed), {}
    for path, shape in variable_shapes(model).items():
        fan_in = np.prod(shape[:-1]) if len(shape) > 1 else 1
        value = draw.standard_normal(shape) * (fan_in**-0.5 if len(shape) > 1 else 0.1)
        if path.endswith("/scale"):
            value = value + 1
        if path.endswith("/var"):
            value = 0.5 + draw.random(shape)
        arrays[path] = value.astype(np.float32)
    return arrays


def to_torch(path: str, value: np.ndarray, module: str) -> tuple[str, np.ndarray]:
    """Our array as PyTorch lays it out, under a module's name."""
    leaf = {"scale": "weight", "mean": "running_mean", "var": "running_var", "kernel": "weight"}
    name = path.rsplit("/", 1)[-1]
    if name == "kernel":
        axes = {4: (3, 2, 0, 1), 2: (1, 0)}.get(value.ndim)
        value = value.transpose(axes) if axes else value.transpose(2, 0, 1)[:, None]
    return f"{module}.{leaf.get(name, name)}", np.ascontiguousarray(value)


def timm_module(module: str, repeats: list[int]) -> str:
    """Timm's name of our module path: its documented scheme, written from our side."""
    outer = {
        "features/stem_conv": "conv_stem",
        "features/stem_bn": "bn1",
        "features/head_conv": "conv_head",
        "features/head_bn": "bn2",
        "head": "classifier",
    }
    if module in outer:
        return outer[module]
    number, part = re.fullmatch(r"features/block_(\d+)/(.+)", module).groups()
    stage, row = 0, int(number)
    while row >= repeats[stage]:
        row, stage = row - repeats[stage], stage + 1
    expanding = {
        "expand_conv": "conv_pw",
        "expand_bn": "bn1",
        "depthwise_conv": "conv_dw",
        "depthwise_bn": "bn2",
        "project_conv": "conv_pwl",
        "project_bn": "bn3",
    }
    separable = {
        "depthwise_conv": "conv_dw",
        "depthwise_bn": "bn1",
        "project_conv": "conv_pw",
        "project_bn": "bn2",
    }
    squeeze = {"se/reduce": "se.conv_reduce", "se/expand": "se.conv_expand"}
    return f"blocks.{stage}.{row}." + ((expanding if stage else separable) | squeeze)[part]


def cadene_module(module: str) -> str:
    """Cadene's name of our Xception module path."""
    if module == "head":
        return "last_linear"
    module = module.removeprefix("features/")
    outer = re.fullmatch(r"(conv\d|bn\d)(?:/(depthwise|pointwise))?", module)
    inner = {"depthwise": "conv1", "pointwise": "pointwise"}
    if outer:
        return outer[1] + (f".{inner[outer[2]]}" if outer[2] else "")
    block, part = re.fullmatch(r"block(\d+)/(.+)", module).groups()
    if part.startswith("skip"):
        return f"block{block}.{part.replace('_bn', 'bn').replace('_conv', '')}"
    kind, i = re.match(r"(conv|bn)_(\d)", part).groups()
    # rep of a block: [relu, separable, bn] again and again, less the first relu in block 1.
    row = 3 * int(i) + (1 if block != "1" else 0) + (kind == "bn")
    return f"block{block}.rep.{row}" + (f".{inner[part.split('/')[1]]}" if kind == "conv" else "")


def module_of(path: str) -> str:
    return path.split("/", 1)[1].rsplit("/", 1)[0]
