"""Names of ResNets, of Cadene's SE-ResNeXt, of HRNets (two schemes), and of DSP-FWA's file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from matnet_jax.pretrained.torch_mat import in_our_names, is_counter, to_ours
from matnet_jax.pretrained.torch_names import Rule, rename

CAFFE_MEAN = (123.68 / 255, 116.779 / 255, 103.939 / 255)
_BLOCK = r"layer(\d)\.(\d+)"
_OUR_BLOCK = r"stage_\1_block_\2"


def _pairs(theirs: str, ours: str) -> tuple[Rule, ...]:
    """A Sequential of convolution and batch norm."""
    return ((rf"{theirs}\.0", f"{ours}/conv"), (rf"{theirs}\.1", f"{ours}/bn"))


_BLOCKS: tuple[Rule, ...] = (
    (rf"{_BLOCK}\.(conv|bn)(\d)", rf"{_OUR_BLOCK}/\3_\4"),
    (rf"{_BLOCK}\.downsample\.0", rf"{_OUR_BLOCK}/conv_skip"),
    (rf"{_BLOCK}\.downsample\.1", rf"{_OUR_BLOCK}/bn_skip"),
)
RESNET: tuple[Rule, ...] = ((r"(conv|bn)1", r"stem_\1"), *_BLOCKS)
SE_RESNEXT: tuple[Rule, ...] = (
    (r"layer0\.(conv|bn)1", r"stem_\1"),
    (rf"{_BLOCK}\.se_module\.fc1", rf"{_OUR_BLOCK}/se_reduce"),
    (rf"{_BLOCK}\.se_module\.fc2", rf"{_OUR_BLOCK}/se_expand"),
    *_BLOCKS,
)
_MODULE, _OUR_MODULE = r"stage(\d)\.(\d+)", r"stage_\1_module_\2"
HRNET: tuple[Rule, ...] = (
    (r"(conv|bn)(\d)", r"stem_\2/\1"),
    *_BLOCKS,
    # Of the first transition only, a branch has no inner Sequential where its size stays.
    *_pairs(r"transition(\d)\.(\d)", r"transition_\1_\2"),
    *_pairs(r"transition(\d)\.(\d)\.0", r"transition_\1_\2"),
    (
        rf"{_MODULE}\.branches\.(\d)\.(\d+)\.(conv|bn)(\d)",
        rf"{_OUR_MODULE}/branch_\3_block_\4/\5_\6",
    ),
    *_pairs(rf"{_MODULE}\.fuse_layers\.(\d)\.(\d)", rf"{_OUR_MODULE}/fuse_\3_\4"),
    *_pairs(rf"{_MODULE}\.fuse_layers\.(\d)\.(\d)\.(\d)", rf"{_OUR_MODULE}/fuse_\3_\4_\5"),
)
_RULES: dict[str, tuple[tuple[Rule, ...], str | None]] = {
    "HRNet": (HRNET, None),
    "torchvision's ResNet": (RESNET, "fc"),
    "Cadene's SE-ResNeXt": (SE_RESNEXT, "last_linear"),
}
_HRNET_HEAD = ("incre_modules", "downsamp_modules", "final_layer", "classifier", "fc")
_DSP_FWA_TRUNK, _DSP_FWA_UNUSED = "resnet.resnet.", ("resnet.fc", "resnet.resnet.fc")


def name(state: Mapping[str, Any]) -> str | None:
    """Whose names these are, or None where they are of neither."""
    if "layer1.0.se_module.fc1.weight" in state and "layer0.conv1.weight" in state:
        return "Cadene's SE-ResNeXt"
    if "layer1.0.conv2.weight" not in state or "conv1.weight" not in state:
        return None
    is_hrnet = any(key.startswith("stage4.0.fuse_layers.") for key in state)
    return "HRNet" if is_hrnet else "torchvision's ResNet"


def convert(state: Mapping[str, Any]) -> tuple[dict[str, np.ndarray], list[str]]:
    """Arrays by our path, and the keys that no rule knows.

    HRNet's classifier works on maps that a detector has not: it is left out.
    """
    rules, head = _RULES[name(state) or "torchvision's ResNet"]
    is_hrnet = rules is HRNET

    def is_left_out(key: str) -> bool:
        return is_counter(key) or (is_hrnet and key.partition(".")[0] in _HRNET_HEAD)

    def named(module: str, leaf: str, value: np.ndarray) -> tuple[str, np.ndarray] | None:
        path = rename(module, rules)
        path = "head" if module == head else path and f"features/{path}"
        return to_ours(path, leaf, value) if path else None

    return in_our_names(state, named, passed_over=is_left_out)


def is_dsp_fwa(state: Mapping[str, Any]) -> bool:
    """Whether it is a checkpoint of DSP-FWA's authors."""
    return f"{_DSP_FWA_TRUNK}conv1.weight" in state and "classifier.weight" in state


def convert_dsp_fwa(state: Mapping[str, Any]) -> tuple[dict[str, np.ndarray], list[str]]:
    """As `convert`; their class 0 is fake, ours real."""
    trunk = {
        key.removeprefix(_DSP_FWA_TRUNK): value
        for key, value in state.items()
        if key.startswith(_DSP_FWA_TRUNK) and key.rpartition(".")[0] not in _DSP_FWA_UNUSED
    }
    arrays, unexpected = convert(trunk)
    arrays["params/pyramid/kernel"] = np.asarray(state["classifier.weight"])[::-1].T
    arrays["params/pyramid/bias"] = np.asarray(state["classifier.bias"])[::-1]
    known = (_DSP_FWA_TRUNK, "classifier.", "resnet.fc.")
    unexpected = [f"{_DSP_FWA_TRUNK}{key}" for key in unexpected]
    return arrays, unexpected + [key for key in state if not key.startswith(known)]
