"""Which network a foreign checkpoint is of, told by its names, and how to convert each."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from matnet_jax.detectors.fields import CLIP_MEAN, CLIP_STD, IMAGENET_MEAN, IMAGENET_STD
from matnet_jax.pretrained import (
    capsule_names,
    clip_names,
    convnext_names,
    densenet_names,
    dfdc_names,
    inception_names,
    keras_names,
    mesonet_names,
    multi_task_names,
    residual_names,
    timm_names,
    torch_mat,
    vgg_names,
    vit_names,
)
from matnet_jax.pretrained.files import CheckpointFileError
from matnet_jax.pretrained.keras_files import KerasWeights
from matnet_jax.pretrained.weights import Weights

_IMAGENET = {"mean": IMAGENET_MEAN, "std": IMAGENET_STD}
_CLIP = {"mean": CLIP_MEAN, "std": CLIP_STD}
_CENTERED = {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}
# TensorFlow's preprocessing of EfficientNet-Lite: (pixel − 127) / 128.
_LITE = {"mean": (127 / 255,) * 3, "std": (128 / 255,) * 3}
_UNCHANGED = {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}
_IMAGENET_CLASSES = 1000


class _File(NamedTuple):
    """Of PyTorch, or of arrays by name: its tensors, all that it holds, and where it is."""

    state: Mapping[str, Any]
    loaded: Mapping[str, Any]
    path: Path


def recognize(loaded: Mapping[str, Any] | KerasWeights, path: Path) -> Weights:
    """Converts what `files.read_file` gave.

    Raises:
      CheckpointFileError: the names are of no known network.
    """
    if isinstance(loaded, KerasWeights):
        return _keras(loaded, path)
    state = {k: v for k, v in torch_mat.unwrap(loaded).items() if isinstance(v, np.ndarray)}
    file = _File(state, loaded, path)
    for weights_of in _KINDS.values():
        if (weights := weights_of(file)) is not None:
            return weights
    raise CheckpointFileError(
        f"{path} is of no network this library knows. It has {len(state)} arrays"
        + (f", such as {', '.join(list(state)[:3])}" if state else "")
        + f"; known: {', '.join((*_KINDS, *_KERAS))}"
    )


def _keras(weights: KerasWeights, path: Path) -> Weights:
    mesonet = mesonet_names.name(weights)
    if mesonet is not None:
        arrays = mesonet_names.convert(weights)
        return Weights(f"the authors' {mesonet}", arrays, (), _UNCHANGED, is_backbone=False)
    if not keras_names.is_xception(weights) and not keras_names.is_efficientnet(weights):
        shown = ", ".join(list(weights.layers)[:3])
        raise CheckpointFileError(
            f"{path} is neither Keras's EfficientNet nor its Xception, nor a MesoNet; its layers: "
            f"{shown}, …"
        )
    arrays, unexpected = keras_names.convert(weights)
    fields: dict[str, Any] = {"batch_norm_epsilon": keras_names.config_epsilon(weights)}
    if keras_names.is_xception(weights):
        # Its preprocessing is outside the model: pixels / 127.5 − 1.
        fields |= {"same_max_pool": True} | _CENTERED
    else:
        fields |= keras_names.input_statistics(weights)
    name = "Xception" if keras_names.is_xception(weights) else "EfficientNet"
    return Weights(f"Keras's {name}", arrays, tuple(unexpected), fields)


def _our_variables(file: _File) -> Weights | None:
    if not any(key.startswith(("params/", "params.")) for key in file.state):
        return None
    arrays = {key.replace(".", "/"): value for key, value in file.state.items()}
    return Weights("this library's variables", arrays, is_backbone=False)


def _clips(file: _File) -> Weights | None:
    if (scheme := clip_names.find_scheme(file.state)) is None:
        return None
    arrays, unexpected = clip_names.convert(file.state, scheme)
    is_backbone = clip_names.classes(file.state) != 2
    return Weights(scheme[0], arrays, tuple(unexpected), scheme[2], is_backbone=is_backbone)


def _wsdan(file: _File) -> Weights | None:
    if not dfdc_names.is_wsdan(file.state):
        return None
    arrays, unexpected = dfdc_names.convert_wsdan(file.state, file.loaded.get("feature_center"))
    fields = {"mean": dfdc_names.WM_MEAN, "std": dfdc_names.WM_STD}
    return Weights("WM's WS-DAN", arrays, tuple(unexpected), fields, is_backbone=False)


def _mat_and_its_backbones(file: _File) -> Weights | None:
    """The authors' MAT, and the two repositories whose networks they built it on."""
    state = file.state
    stem = {key.removeprefix("net.") for key in state}
    is_xception = "block1.rep.0.conv1.weight" in stem and "_conv_stem.weight" not in stem
    if not is_xception and "_conv_stem.weight" not in stem:
        return None
    is_mat = any(key.startswith("attentions.") for key in state)
    arrays, unexpected = torch_mat.convert(state, is_xception=is_xception, is_mat=is_mat)
    name = "Cadene's Xception" if is_xception else "efficientnet_pytorch"
    family = f"the authors' MAT on {name}" if is_mat else name
    made_by_authors = is_mat or is_xception or _classes(arrays) != _IMAGENET_CLASSES
    fields = _CENTERED if made_by_authors or _is_advprop(file.path) else _IMAGENET
    if not is_xception and not is_mat and not any("._se_reduce." in key for key in state):
        family, fields = "efficientnet_lite_pytorch", _LITE
    return Weights(family, arrays, tuple(unexpected), fields, is_backbone=not is_mat)


def _eighteen_xception(file: _File) -> Weights | None:
    if not dfdc_names.is_eighteen_xception(file.state):
        return None
    is_bgr = "bgr" in file.path.name.lower()
    state = dfdc_names.eighteen_xception(file.state, bgr=is_bgr)
    return _mat_and_its_backbones(file._replace(state=state))


def _timm_efficientnet(file: _File) -> Weights | None:
    state = file.state
    if "conv_stem.weight" not in state or not any(key.startswith("blocks.0.0.") for key in state):
        return None
    arrays, unexpected = timm_names.convert(state)
    is_lite = not any(".se." in key for key in state)
    fields = _CENTERED if is_lite or _is_advprop(file.path) else _IMAGENET
    family = "timm's tf_efficientnet_lite" if is_lite else "timm's tf_efficientnet"
    return Weights(family, arrays, tuple(unexpected), fields)


def _convnext(file: _File) -> Weights | None:
    if (scheme := convnext_names.find_scheme(file.state)) is None:
        return None
    arrays, unexpected = convnext_names.convert(file.state, scheme)
    return Weights(scheme.family, arrays, tuple(unexpected), _IMAGENET)


def _transformer(file: _File) -> Weights | None:
    if (scheme := vit_names.find_scheme(file.state)) is None:
        return None
    arrays, unexpected = vit_names.convert(file.state, scheme)
    fields = _CLIP if scheme.is_clip else _IMAGENET
    return Weights(scheme.family, arrays, tuple(unexpected), fields)


def _where(
    told: Callable[[Mapping[str, Any]], object],
    convert: Callable[[Mapping[str, Any]], tuple[dict[str, np.ndarray], list[str]]],
    family: str,
    fields: Mapping[str, Any] = _IMAGENET,
    *,
    is_backbone: bool = True,
) -> Callable[[_File], Weights | None]:
    """What is told by its names alone: a `{}` of `family` is what `told` says."""

    def weights_of(file: _File) -> Weights | None:
        if not (found := told(file.state)):
            return None
        arrays, unexpected = convert(file.state)
        name = family.format(found)
        return Weights(name, arrays, tuple(unexpected), fields, is_backbone=is_backbone)

    return weights_of


_DSP_FWA = {"mean": residual_names.CAFFE_MEAN, "std": (1 / 255,) * 3}

# By what a user calls them, in the order in which they are asked: the first that knows the names.
_KINDS: dict[str, Callable[[_File], Weights | None]] = {
    "this library's variables": _our_variables,
    "networks of clips of torchvision, pytorch-i3d and 3D-ResNets": _clips,
    "WM's WS-DAN": _wsdan,
    "NTechLab's EfficientNet": _where(
        dfdc_names.is_ntechlab,
        dfdc_names.convert_ntechlab,
        "NTechLab's EfficientNet",
        is_backbone=False,
    ),
    "the authors' MAT, efficientnet_pytorch, efficientnet_lite_pytorch, Cadene's Xception": (
        _mat_and_its_backbones
    ),
    "Eighteen Years Old's Xception": _eighteen_xception,
    "timm's tf_efficientnet_b* and _lite*": _timm_efficientnet,
    "Selim Seferbekov's EfficientNet": _where(
        dfdc_names.is_selim,
        dfdc_names.convert_selim,
        "Selim Seferbekov's EfficientNet",
        is_backbone=False,
    ),
    "the authors' DSP-FWA": _where(
        residual_names.is_dsp_fwa,
        residual_names.convert_dsp_fwa,
        "the authors' DSP-FWA",
        _DSP_FWA,
        is_backbone=False,
    ),
    "torchvision's ResNets, Cadene's SE-ResNeXt, HRNet": _where(
        residual_names.name, residual_names.convert, "{}"
    ),
    "the authors' Multi-task": _where(
        multi_task_names.part,
        multi_task_names.convert,
        "the authors' Multi-task {}",
        is_backbone=False,
    ),
    "the authors' Capsule-Forensics": _where(
        capsule_names.version,
        capsule_names.convert,
        "the authors' Capsule-Forensics v{}",
        is_backbone=False,
    ),
    "torchvision's VGG-19": _where(vgg_names.is_vgg19, vgg_names.convert, "torchvision's VGG-19"),
    "torchvision's DenseNet": _where(
        densenet_names.is_densenet, densenet_names.convert, "torchvision's DenseNet"
    ),
    # Torchvision's own statistics are undone by a step of its network's.
    "torchvision's Inception-v3": _where(
        inception_names.is_inception,
        inception_names.convert,
        "torchvision's Inception-v3",
        _CENTERED,
    ),
    "ConvNeXt of transformers and of timm": _convnext,
    "image towers of CLIP and DINOv2 of transformers, open_clip, DINOv2's authors and timm": (
        _transformer
    ),
}
_KERAS = ("Keras's EfficientNet and Xception", "the authors' MesoNet")


def _classes(arrays: Mapping[str, np.ndarray]) -> int | None:
    head = arrays.get("params/head/bias")
    return None if head is None else len(head)


def _is_advprop(path: Path) -> bool:
    """AdvProp's and plain weights have the same names and shapes: only the file's name tells."""
    return re.search(r"(^|[-_.])(adv|advprop|ap)([-_.]|$)", path.name.lower()) is not None
