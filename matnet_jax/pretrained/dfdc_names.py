"""Names of the files of the winners of the Deepfake Detection Challenge.

One logit z of theirs is two of ours, 0 and z: P(fake) is the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from matnet_jax.pretrained import timm_names, torch_mat
from matnet_jax.pretrained.torch_names import Rule, rename

WM_MEAN, WM_STD = (0.4479, 0.3744, 0.3473), (0.2537, 0.2502, 0.2424)
_SELIM = "encoder."
_TEMPORAL = "._expand_conv.conv.weight"
_WSDAN: tuple[Rule, ...] = ((r"attentions\.(conv|bn)", r"attention_\1"), (r"fc", "head_conv"))
_WSDAN_TRUNKS = ("features.", "EFN.")


def two_logits(weight: np.ndarray, bias: np.ndarray) -> dict[str, np.ndarray]:
    """The head of one logit, [1, C] and [1], as ours of two."""
    return {
        "params/head/kernel": np.concatenate([np.zeros_like(weight), weight]).T,
        "params/head/bias": np.concatenate([np.zeros_like(bias), bias]),
    }


def is_eighteen_xception(state: Mapping[str, Any]) -> bool:
    """Whether it is the Xception of Eighteen Years Old: Cadene's names below "model."."""
    return "model.block1.rep.0.conv1.weight" in state


def eighteen_xception(state: Mapping[str, Any], *, bgr: bool) -> dict[str, Any]:
    """Cadene's names; a network that sees BGR is turned round to see RGB as ours do."""
    inner = {key.removeprefix("model."): value for key, value in state.items()}
    if bgr:
        inner["conv1.weight"] = np.asarray(inner["conv1.weight"])[:, ::-1]
    return inner


def is_selim(state: Mapping[str, Any]) -> bool:
    """Whether it is a checkpoint of Selim Seferbekov's."""
    return f"{_SELIM}conv_stem.weight" in state and "fc.weight" in state


def convert_selim(state: Mapping[str, Any]) -> tuple[dict[str, np.ndarray], list[str]]:
    """Arrays by our path, and the keys that no rule knows.

    The encoder's own classifier, of ImageNet, is left out: nothing runs it.
    """
    inner = {
        key.removeprefix(_SELIM): value
        for key, value in state.items()
        if key.startswith(_SELIM) and not key.startswith(f"{_SELIM}classifier.")
    }
    arrays, unexpected = timm_names.convert(inner)
    arrays |= two_logits(np.asarray(state["fc.weight"]), np.asarray(state["fc.bias"]))
    unexpected = [f"{_SELIM}{key}" for key in unexpected]
    return arrays, unexpected + [key for key in state if not key.startswith((_SELIM, "fc."))]


def is_ntechlab(state: Mapping[str, Any]) -> bool:
    """Whether it is a checkpoint of NTechLab's: lukemelas's EfficientNet with one logit."""
    return {"_conv_stem.weight", "_fc.weight"} <= set(state) and len(state["_fc.weight"]) == 1


def convert_ntechlab(state: Mapping[str, Any]) -> tuple[dict[str, np.ndarray], list[str]]:
    """Arrays by our path, and the keys that no rule knows; also of the network of sequences."""
    temporal = {key: value for key, value in state.items() if key.endswith(_TEMPORAL)}
    rest = {k: v for k, v in state.items() if k not in temporal and not k.startswith("_fc.")}
    arrays, unexpected = torch_mat.convert(rest, is_xception=False, is_mat=False)
    for key, value in temporal.items():
        number = key.removeprefix("_blocks.").removesuffix(_TEMPORAL)
        kernel = np.asarray(value)[..., 0, 0].transpose(2, 1, 0)[:, None]
        arrays[f"params/features/block_{number}/expand_conv/kernel"] = kernel
    arrays |= two_logits(np.asarray(state["_fc.weight"]), np.asarray(state["_fc.bias"]))
    return arrays, unexpected


def is_wsdan(state: Mapping[str, Any]) -> bool:
    r"""Whether it is a WS-DAN of \WM/'s."""
    return "attentions.conv.weight" in state and "fc.weight" in state


def convert_wsdan(
    state: Mapping[str, Any], centers: np.ndarray | None
) -> tuple[dict[str, np.ndarray], list[str]]:
    """Arrays by our path, and the keys that no rule knows.

    Args:
      state: the network's; an EfficientNet's own classifier is left out.
      centers: [2, M·C], which lie beside it in a checkpoint of training; None: zeros.
    """
    trunk = {
        key.partition(".")[2]: value
        for key, value in state.items()
        if key.startswith(_WSDAN_TRUNKS) and not key.startswith("EFN._fc.")
    }
    is_xception = torch_mat.is_xception(trunk)
    arrays, unexpected = torch_mat.convert(trunk, is_xception=is_xception, is_mat=False)

    def named(module: str, leaf: str, value: np.ndarray) -> tuple[str, np.ndarray] | None:
        path = rename(module, _WSDAN)
        value = value[..., None, None] if path == "head_conv" else value
        return torch_mat.to_ours(path, leaf, value) if path else None

    rest = {key: value for key, value in state.items() if not key.startswith(_WSDAN_TRUNKS)}
    own, unknown = torch_mat.in_our_names(rest, named)
    shape = np.shape(state["fc.weight"])
    own["feature_centers/centers"] = np.zeros(shape) if centers is None else np.asarray(centers)
    return arrays | own, unexpected + unknown
