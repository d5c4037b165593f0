"""What makes a system's network and training small, where faces are drawn.

A sweep with `--embedded` and the tests take it: it shows that all runs, not how well.
"""

from __future__ import annotations

from typing import Any

SIZE, STEPS = 64, 20
_NARROW = {"width_coefficient": 0.05, "depth_coefficient": 0.1}
_EFFICIENTNET = {"width_coefficient": 0.25, "depth_coefficient": 0.3}
_CLIPS = {**_NARROW, "clip_length": 3}
_B0 = {"backbone": "efficientnet-b0", **_EFFICIENTNET}

# By config; of one that has several networks, those of images are called config:*.
MODELS: dict[str, dict[str, Any]] = {
    "dsp_fwa": _NARROW,
    "eighteen_years_old": _CLIPS,
    "eighteen_years_old:*": _B0,
    "f3net": {"width_coefficient": 0.02, "middle_blocks": 0},
    "face_xray": _NARROW,
    "fwa": _NARROW,
    "medics": _CLIPS,
    "medics:*": _B0,
    "ntechlab": _B0 | {"window": (64, 48)},
    "ntechlab:sequence": _B0 | {"window": (64, 48), "clip_length": 3},
    "selim_b7": _EFFICIENTNET,
    "two_branch": _CLIPS | {"memory": 4, "feature": 8},
    "two_stream": _B0 | {"patch_size": 32, "patch_stride": 32, "hidden": 16, "embedding": 8},
    "wm_xception": _B0,
    "wsdan": _B0 | {"num_attentions": 3},
    "xception_ela": _B0,
    "xception_pafilters": _B0,
}
"""Fields of the model, where its images' size alone does not make it small."""

DATA: dict[str, Any] = {
    "data.synthetic_identities": 6,
    "data.real_repeat": 1,
    "data.crop_margin": None,
    # Drawn faces have five landmarks.
    "face_xray.outline": "five",
    "fwa.outline": "five",
    "train.batch_size": 16,
    "validation.batch_size": 16,
}

_OF_CLIPS = ("slowfast", "i3d", "resnet3d", "mc3", "r2plus1d")


def small(config: str) -> dict[str, Any]:
    """Fields, by dotted name, that make a config of a system small; `NAME` or `NAME:NETWORK`."""
    name, _, network = config.removeprefix("systems/").partition(":")
    is_of_images = network and not network.startswith(_OF_CLIPS)
    kinds = (f"{name}:{network}", f"{name}:*" if is_of_images else name, name)
    model = next((MODELS[kind] for kind in kinds if kind in MODELS), {})
    duration = f"{STEPS} steps"
    return {
        "model.image_size": SIZE,
        **{f"model.{field}": value for field, value in model.items()},
        **DATA,
        "train.duration": duration,
        "validation.every": duration,
    }
