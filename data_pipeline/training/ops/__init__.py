"""Augmentations: frozen dataclasses that map (example, random generator) to an example.

Each is deterministic in its generator, keeps the image's shape and type, and draws whether it acts
with its own probability `p`. Presets are tuples of them, applied in order.
"""

from __future__ import annotations

from data_pipeline.training.ops.base import Op, apply_ops, fields_of
from data_pipeline.training.ops.face_parts import RemovePart
from data_pipeline.training.ops.geometric import Flip, RandomCrop
from data_pipeline.training.ops.photometric import (
    JPEG,
    BrightnessContrast,
    Cutout,
    Downscale,
    GaussianBlur,
    GaussianNoise,
    Grey,
    HueSaturationValue,
    MotionBlur,
)
from data_pipeline.training.window import fit_example, fit_to_size

_STANDARD: tuple[Op, ...] = (
    Flip(),
    HueSaturationValue(),
    BrightnessContrast(),
    GaussianNoise(),
    GaussianBlur(),
    JPEG(),
)
PRESETS: dict[str, tuple[Op, ...]] = {
    "none": (),
    # The released code's augment0, which it uses for FaceForensics++.
    "flip": (Flip(),),
    # In place of its augment1: photometric changes and mild degradation.
    "standard": _STANDARD,
    # In place of its augment2: everything, stronger.
    "strong": (
        Flip(),
        RandomCrop(scale=(0.7, 1.0)),
        HueSaturationValue(hue=20.0, saturation=40.0, value=40.0),
        BrightnessContrast(brightness=0.3, contrast=0.3),
        Downscale(p=0.3, scale=(0.25, 0.9)),
        GaussianBlur(p=0.3, sigma=(0.3, 3.0)),
        MotionBlur(p=0.2, length=(3, 11)),
        GaussianNoise(sigma=(2.0, 20.0)),
        JPEG(quality=(30, 95)),
        Grey(),
        Cutout(p=0.3),
    ),
    # Of records with landmarks.
    "part_removed": (RemovePart(), *_STANDARD),
}

__all__ = [
    "JPEG",
    "PRESETS",
    "BrightnessContrast",
    "Cutout",
    "Downscale",
    "Flip",
    "GaussianBlur",
    "GaussianNoise",
    "Grey",
    "HueSaturationValue",
    "MotionBlur",
    "Op",
    "RandomCrop",
    "RemovePart",
    "apply_ops",
    "fields_of",
    "fit_example",
    "fit_to_size",
]
