"""Backbones by name, and the names of their stages."""

from __future__ import annotations

import re
from collections.abc import Iterable

from matnet_jax.backbones.base import Backbone
from matnet_jax.backbones.convnext import CONVNEXTS
from matnet_jax.backbones.densenet import DENSENETS
from matnet_jax.backbones.efficientnet import EFFICIENTNETS, VARIANTS, EfficientNet
from matnet_jax.backbones.efficientnet_lite import EFFICIENTNET_LITES
from matnet_jax.backbones.hrnet import HRNETS
from matnet_jax.backbones.inception import INCEPTION_V3
from matnet_jax.backbones.resnet import RESNETS
from matnet_jax.backbones.vit import VITS
from matnet_jax.backbones.xception import XCEPTION, Xception

BACKBONES: dict[str, Backbone] = {
    **EFFICIENTNETS,
    "xception": XCEPTION,
    **EFFICIENTNET_LITES,
    **CONVNEXTS,
    **RESNETS,
    **HRNETS,
    "inception-v3": INCEPTION_V3,
    **DENSENETS,
    **VITS,
}


def find_backbone(name: str) -> Backbone:
    """The table's entry of this name.

    Raises:
      ValueError: the backbone is unknown; the message lists those there are.
    """
    if name not in BACKBONES:
        raise ValueError(f"unknown backbone '{name}'; available: {', '.join(BACKBONES)}")
    return BACKBONES[name]


def resolve_stage(stage: str, endpoints: Iterable[str]) -> str:
    """The backbone's own name of a stage given as in the paper ("L2") or in its code ("b2").

    Raises:
      ValueError: the backbone has no such stage; the message lists those it has.
    """
    endpoints = tuple(endpoints)
    number = re.fullmatch(r"[Lb](\d+)", stage)
    aliases = [f"L{number[1]}", f"b{number[1]}"] if number else [stage]
    if stage in ("b0", "L0", "stem"):
        aliases = ["stem", "b0"]
    for alias in aliases:
        if alias in endpoints:
            return alias
    raise ValueError(f"no stage '{stage}'; this backbone has {', '.join(endpoints)}")


__all__ = [
    "BACKBONES",
    "VARIANTS",
    "Backbone",
    "EfficientNet",
    "Xception",
    "find_backbone",
    "resolve_stage",
]
