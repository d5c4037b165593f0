"""Which network a foreign checkpoint is of, told by its names, and how to convert each."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from matnet_jax.detectors.fields import IMAGENET_MEAN, IMAGENET_STD
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

_IMAGENET = {"mean": IMAGENET_MEAN, "std": IMAGENET_STD}
_CLIP = {
    "mean": (0.48145466, 0.4578275, 0.40821073),
    "std": (0.26862954, 0.26130258, 0.27577711),
}
_CENTERED = {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}
# TensorFlow's preprocessing of EfficientNet-Lite: (pixel − 127) / 128.
_LITE = {"mean": (127 / 255,) * 3, "std": (128 / 255,) * 3}
_UNCHANGED = {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}
_IMAGENET_CLASSES = 1000


@dataclasses.dataclass(frozen=True)
class Weights:
    """A checkpoint in our paths and layouts.

    Attributes:
      family: what it was recognised as.
      arrays: by our path.
      unexpected: keys that no rule could name.
      fields: model fields that the weights were made for: mean and std of pixels in [0, 1], and
        what of batch norm and padding differs from the model's defaults.
      is_backbone: a plain classifier's: a MAT takes its features only.
    """

    family: str
    arrays: Mapping[str, np.ndarray]
    unexpected: tuple[str, ...] = ()
    fields: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    is_backbone: bool = True


def recognize(loaded: Mapping[str, Any] | KerasWeights, path: Path) -> Weights:
    """Converts what `files.read_file` gave.

    Raises:
      CheckpointFileError: the names are of no known network.
    """
    if isinstance(loaded, KerasWeights):
        return _keras(loaded, path)
    state = {k: v for k, v in torch_mat.unwrap(loaded).items() if isinstance(v, np.ndarray)}
    if any(key.startswith(("params/", "params.")) for key in state):
        arrays = {key.replace(".", "/"): value for key, value in state.items()}
        return Weights("this library's variables", arrays, is_backbone=False)
    if (clips := clip_names.find_scheme(state)) is not None:
        arrays, unexpected = clip_names.convert(state, clips)
        is_backbone = clip_names.classes(state) != 2
        return Weights(clips[0], arrays, tuple(unexpected), clips[2], is_backbone=is_backbone)
    if dfdc_names.is_eighteen_xception(state):
        state = dfdc_names.eighteen_xception(state, bgr="bgr" in path.name.lower())
    if dfdc_names.is_wsdan(state):
        centers = loaded.get("feature_center")
        arrays, unexpected = dfdc_names.convert_wsdan(state, centers)
        fields = {"mean": dfdc_names.WM_MEAN, "std": dfdc_names.WM_STD}
        return Weights("WM's WS-DAN", arrays, tuple(unexpected), fields, is_backbone=False)
    if dfdc_names.is_ntechlab(state):
        arrays, unexpected = dfdc_names.convert_ntechlab(state)
        family = "NTechLab's EfficientNet"
        return Weights(family, arrays, tuple(unexpected), _IMAGENET, is_backbone=False)
    is_mat = any(key.startswith("attentions.") for key in state)
    stem = {key.removeprefix("net.") for key in state}
    if "_conv_stem.weight" in stem or "block1.rep.0.conv1.weight" in stem:
        is_xception = "_conv_stem.weight" not in stem
        arrays, unexpected = torch_mat.convert(state, is_xception=is_xception, is_mat=is_mat)
        name = "Cadene's Xception" if is_xception else "efficientnet_pytorch"
        family = f"the authors' MAT on {name}" if is_mat else name
        made_by_authors = is_mat or is_xception or _classes(arrays) != _IMAGENET_CLASSES
        fields = _CENTERED if made_by_authors or _is_advprop(path) else _IMAGENET
        if not is_xception and not is_mat and not any("._se_reduce." in key for key in state):
            family, fields = "efficientnet_lite_pytorch", _LITE
        return Weights(family, arrays, tuple(unexpected), fields, is_backbone=not is_mat)
    if "conv_stem.weight" in state and any(key.startswith("blocks.0.0.") for key in state):
        arrays, unexpected = timm_names.convert(state)
        is_lite = not any(".se." in key for key in state)
        fields = _CENTERED if is_lite or _is_advprop(path) else _IMAGENET
        family = "timm's tf_efficientnet_lite" if is_lite else "timm's tf_efficientnet"
        return Weights(family, arrays, tuple(unexpected), fields)
    if dfdc_names.is_selim(state):
        arrays, unexpected = dfdc_names.convert_selim(state)
        family = "Selim Seferbekov's EfficientNet"
        return Weights(family, arrays, tuple(unexpected), _IMAGENET, is_backbone=False)
    if residual_names.is_dsp_fwa(state):
        arrays, unexpected = residual_names.convert_dsp_fwa(state)
        fields = {"mean": residual_names.CAFFE_MEAN, "std": (1 / 255,) * 3}
        return Weights("the authors' DSP-FWA", arrays, tuple(unexpected), fields, is_backbone=False)
    if (network := residual_names.name(state)) is not None:
        arrays, unexpected = residual_names.convert(state)
        return Weights(network, arrays, tuple(unexpected), _IMAGENET)
    if (part := multi_task_names.part(state)) is not None:
        arrays, unexpected = multi_task_names.convert(state)
        family = f"the authors' Multi-task {part}"
        return Weights(family, arrays, tuple(unexpected), _IMAGENET, is_backbone=False)
    if (version := capsule_names.version(state)) is not None:
        arrays, unexpected = capsule_names.convert(state)
        family = f"the authors' Capsule-Forensics v{version}"
        return Weights(family, arrays, tuple(unexpected), _IMAGENET, is_backbone=False)
    if vgg_names.is_vgg19(state):
        arrays, unexpected = vgg_names.convert(state)
        return Weights("torchvision's VGG-19", arrays, tuple(unexpected), _IMAGENET)
    if densenet_names.is_densenet(state):
        arrays, unexpected = densenet_names.convert(state)
        return Weights("torchvision's DenseNet", arrays, tuple(unexpected), _IMAGENET)
    if inception_names.is_inception(state):
        # Torchvision's own statistics are undone by a step of its network's.
        arrays, unexpected = inception_names.convert(state)
        return Weights("torchvision's Inception-v3", arrays, tuple(unexpected), _CENTERED)
    if (scheme := convnext_names.find_scheme(state)) is not None:
        arrays, unexpected = convnext_names.convert(state, scheme)
        return Weights(scheme.family, arrays, tuple(unexpected), _IMAGENET)
    if (transformer := vit_names.find_scheme(state)) is not None:
        arrays, unexpected = vit_names.convert(state, transformer)
        fields = _CLIP if transformer.is_clip else _IMAGENET
        return Weights(transformer.family, arrays, tuple(unexpected), fields)
    raise CheckpointFileError(
        f"{path} is of no network this library knows. It has {len(state)} arrays"
        + (f", such as {', '.join(list(state)[:3])}" if state else "")
        + "; known: the authors' MAT, efficientnet_pytorch, efficientnet_lite_pytorch, timm's "
        "tf_efficientnet_b*, Cadene's Xception, ConvNeXt of transformers and of timm, "
        "image towers of CLIP and DINOv2 of transformers, open_clip, DINOv2's authors and timm, "
        "torchvision's ResNets, VGG-19, DenseNet and Inception-v3, Cadene's SE-ResNeXt, HRNet, "
        "Keras's EfficientNet and Xception, networks of clips of torchvision, pytorch-i3d and "
        "3D-ResNets, the authors' files of MesoNet, Multi-task, Capsule-Forensics and DSP-FWA, "
        "and of the winners of the DFDC"
    )


def join(parts: Sequence[Weights]) -> Weights:
    """One network's checkpoint from the files that hold its parts.

    Raises:
      CheckpointFileError: two of them have the same array.
    """
    arrays: dict[str, np.ndarray] = {}
    for part in parts:
        if twice := sorted(arrays.keys() & part.arrays.keys()):
            raise CheckpointFileError(
                f"the files are not parts of one network: {twice[0]} and {len(twice) - 1} more "
                f"arrays are in two of them ({', '.join(p.family for p in parts)})"
            )
        arrays |= part.arrays
    return Weights(
        " and ".join(part.family for part in parts),
        arrays,
        tuple(key for part in parts for key in part.unexpected),
        {name: value for part in parts for name, value in part.fields.items()},
        is_backbone=all(part.is_backbone for part in parts),
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


def _classes(arrays: Mapping[str, np.ndarray]) -> int | None:
    head = arrays.get("params/head/bias")
    return None if head is None else len(head)


def _is_advprop(path: Path) -> bool:
    """AdvProp's and plain weights have the same names and shapes: only the file's name tells."""
    return re.search(r"(^|[-_.])(adv|advprop|ap)([-_.]|$)", path.name.lower()) is not None


def own_weights(arrays: Mapping[str, np.ndarray], metadata: Mapping[str, Any]) -> Weights:
    """A checkpoint of this library, by its arrays and its metadata."""
    preprocess = metadata.get("preprocess", {})
    fields = {name: tuple(preprocess[name]) for name in ("mean", "std") if name in preprocess}
    model = metadata.get("config", {}).get("model", {})
    for name in ("batch_norm_epsilon", "same_max_pool"):
        if model.get(name) is not None:
            fields[name] = model[name]
    return Weights(
        "a checkpoint of this library",
        arrays,
        fields=fields,
        is_backbone="classifier" in (model.get("name"), model.get("kind")),
    )
