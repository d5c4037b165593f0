"""Writes tests/golden/heads.npz: what the NumPy reference gives behind the backbone.

    python tests/make_golden.py

Weights and inputs are functions of their names (`random_weights`), so that the file holds results
only. They were computed without the library; `test_golden` holds the library to them.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import reference
import reference_losses
import tiny
from random_weights import random_variables

PATH = Path(__file__).parent / "golden" / "heads.npz"
LABELS = np.array([0, 1])
# Case: recipe, texture version, RIL version, m_in, m_out.
CASES = {
    "paper": ("paper", "paper", "paper", (0.05, 0.1), 0.2),
    "released": ("released", "v2", "v2", (0.1, -2.0), 0.5),
    "released_v1": ("released", "v1", "v1", (0.1, 0.3), 0.5),
}
RATE = 0.05


def case(name: str) -> Any:
    """The model of a case, its variables and the stage features it is fed."""
    recipe, texture, ril, _, _ = CASES[name]
    model = tiny.stage_model(recipe, texture_version=texture, ril_version=ril)
    stages = tiny.stage_features(len(LABELS))
    return model, random_variables(model, stages), stages


def compute(name: str) -> dict[str, np.ndarray]:
    """Every tensor of a case, by the reference."""
    recipe, texture, ril, m_in, m_out = CASES[name]
    _, variables, stages = case(name)
    parts = {"texture": stages["L2"], "attention": stages["L5"], "final": stages["final"]}
    results = {}
    for mode in ("eval", "train"):
        out = reference.forward(
            parts, variables, recipe, train=mode == "train", texture_version=texture
        )
        results |= {f"{mode}_{key}": value for key, value in out.items()}
    regions = results["train_region_features"]
    centers = reference_losses.update_centers(
        variables["feature_centers"]["centers"], regions, LABELS, RATE, real_only=ril == "v2"
    )
    return results | {
        "centers": centers,
        "ril_intra": reference_losses.ril_intra(regions, centers, LABELS, m_in, ril),
        "ril_inter": reference_losses.ril_inter(centers, m_out, RATE, ril),
    }


def main() -> None:
    """Writes all cases."""
    tensors = {
        f"{name}/{key}": np.asarray(value, np.float32)
        for name in CASES
        for key, value in compute(name).items()
        # What the training pass's matrix and region features sum up.
        if key not in ("train_texture_features", "train_pooled")
    }
    PATH.parent.mkdir(exist_ok=True)
    np.savez_compressed(PATH, **tensors)
    print(f"{PATH}: {len(tensors)} tensors, {PATH.stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    main()
