"""PyTorch state dicts of the authors' code and of its backbones, in our paths and layouts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from matnet_jax.detectors.assembly import assemble
from matnet_jax.detectors.backboned import BackboneDetector
from matnet_jax.detectors.mat.network import MAT
from matnet_jax.pretrained import torch_names

_BATCH_NORM = {
    "weight": ("params", "scale"),
    "bias": ("params", "bias"),
    "running_mean": ("batch_stats", "mean"),
    "running_var": ("batch_stats", "var"),
}
_CENTERS = "auxiliary_loss.feature_centers"
# Buffers that the model's fields hold instead, and counters that nothing reads.
_IGNORED = ("attentions.mask", "auxiliary_loss.alpha", "auxiliary_loss.inner_margin")
_WRAPPERS = ("state_dict", "model", "model_state_dict", "net")


def from_torch_state_dict(
    state_dict: Mapping[str, Any],
    model: BackboneDetector,
    image_size: int | None = None,
    *,
    strict: bool = True,
) -> dict[str, Any]:
    """Variables of `model` from a checkpoint of the authors' code.

    Args:
      state_dict: arrays by PyTorch name; a `module.` prefix (DataParallel) and a wrapping
        {"state_dict": …} are seen through. Tensors are accepted where `np.asarray` takes them.
      model: `create_model("released", …)` or `create_classifier(…)` of the same shape.
      image_size: of the images that the model will see, to check against; None for the model's.
      strict: see `matnet_jax.detectors.assembly.assemble`.

    Raises:
      WeightsMismatchError: keys or shapes differ; nothing is loaded by half.
      ValueError: `image_size` is not the model's.
    """
    if image_size is not None and image_size != model.image_size:
        raise ValueError(
            f"image_size {image_size} asked for, but the model was made for {model.image_size}: "
            f"create_model(…, image_size={image_size})"
        )
    state = unwrap(state_dict)
    arrays, unexpected = convert(
        state, is_xception=is_xception(state), is_mat=isinstance(model, MAT)
    )
    return assemble(model, arrays, unexpected=unexpected, strict=strict)


def unwrap(state_dict: Mapping[str, Any]) -> dict[str, Any]:
    """The bare state dict: without a wrapping "state_dict" or "model" and a `module.` prefix."""
    for wrapper in _WRAPPERS:
        if isinstance(state_dict.get(wrapper), Mapping):
            state_dict = state_dict[wrapper]
    return {key.removeprefix("module."): value for key, value in state_dict.items()}


def is_xception(state: Mapping[str, Any]) -> bool:
    """Whether the names are Cadene's, alone or as the backbone of the authors' MAT."""
    return any(key.removeprefix("net.").startswith("block1.rep.") for key in state)


def convert(
    state: Mapping[str, Any], *, is_xception: bool, is_mat: bool
) -> tuple[dict[str, np.ndarray], list[str]]:
    """Arrays by our path, and the keys that no rule knows.

    Args:
      state: a bare state dict of MAT, or of a backbone with its classifier.
      is_xception: names of Cadene's Xception rather than of `efficientnet_pytorch`.
      is_mat: the backbone's keys begin with "net.".
    """
    arrays: dict[str, np.ndarray] = {}
    unexpected = []
    for key, value in state.items():
        if key.endswith("num_batches_tracked") or key in _IGNORED:
            continue
        if key == _CENTERS and is_mat:
            arrays["feature_centers/centers"] = np.asarray(value)
            continue
        named = _convert_key(key, np.asarray(value), is_xception, is_mat)
        if named is None:
            unexpected.append(key)
        elif named:
            arrays[named[0]] = named[1]
    return arrays, unexpected


def _convert_key(
    key: str, value: np.ndarray, is_xception: bool, is_mat: bool
) -> tuple[str, np.ndarray] | tuple[()] | None:
    """(our path, our array); () for a key the model rightly lacks; None for an unknown one."""
    module, leaf = key.rsplit(".", 1) if "." in key else ("", key)
    if is_mat and not module.startswith("net."):
        path = torch_names.rename(module, torch_names.MAT_PARTS)
        return to_ours(path, leaf, value) if path else None
    module = module.removeprefix("net.")
    if torch_names.rename(module, torch_names.CLASSIFIER_HEAD):
        # MAT's backbone still carries its ImageNet classifier, which nothing runs.
        return () if is_mat else to_ours("head", leaf, value)
    rules = torch_names.XCEPTION if is_xception else torch_names.EFFICIENTNET
    path = torch_names.rename(module, rules)
    return to_ours(f"features/{path}", leaf, value) if path else None


def is_counter(key: str) -> bool:
    """Whether it is PyTorch's count of a batch norm's batches, which nothing reads."""
    return key.endswith("num_batches_tracked")


def in_our_names(
    state: Mapping[str, Any],
    named: Callable[[str, str, np.ndarray], tuple[str, np.ndarray] | None],
    *,
    passed_over: Callable[[str], bool] = is_counter,
) -> tuple[dict[str, np.ndarray], list[str]]:
    """A state dict in our names and layouts.

    Args:
      state: arrays by PyTorch name.
      named: of a key's module, its last name and the array: our path and array, or None where they
        are not known.
      passed_over: which keys are rightly not taken.

    Returns:
      Arrays by our path, and the keys that are not known.
    """
    arrays: dict[str, np.ndarray] = {}
    unexpected = []
    for key, value in state.items():
        if passed_over(key):
            continue
        module, _, leaf = key.rpartition(".")
        found = named(module, leaf, np.asarray(value))
        if found is None:
            unexpected.append(key)
        else:
            arrays[found[0]] = found[1]
    return arrays, unexpected


def by_rules(
    rules: tuple[torch_names.Rule, ...],
) -> Callable[[str, str, np.ndarray], tuple[str, np.ndarray] | None]:
    """For `in_our_names`: modules are renamed by rules."""

    def named(module: str, leaf: str, value: np.ndarray) -> tuple[str, np.ndarray] | None:
        path = torch_names.rename(module, rules)
        return to_ours(path, leaf, value) if path else None

    return named


def to_ours(path: str, leaf: str, value: np.ndarray) -> tuple[str, np.ndarray] | None:
    """One PyTorch leaf of our module `path` in our name and layout.

    Convolutions [O, I, k, …] become [k, …, I, O], depthwise ones [C, 1, k, k] become [k, k, C],
    dense layers [O, I] become [I, O]; the weight of a layer norm is a scale.
    """
    name = path.rsplit("/", 1)[-1]
    if "bn" in name:
        if leaf not in _BATCH_NORM:
            return None
        collection, ours = _BATCH_NORM[leaf]
        return f"{collection}/{path}/{ours}", value
    if leaf == "bias":
        return f"params/{path}/bias", value
    if leaf != "weight":
        return None
    if name.endswith("norm") or name.startswith("norm_"):
        return f"params/{path}/scale", value
    if "depthwise" in name:
        return f"params/{path}/kernel", value[:, 0].transpose(1, 2, 0)
    if name == "pointwise" and value.ndim == 2:
        value = value[:, :, None, None]  # as Cadene's first Xception file has them
    if value.ndim >= 4:  # of images or clips
        return f"params/{path}/kernel", np.moveaxis(value, (0, 1), (-1, -2))
    return f"params/{path}/kernel", value.T
