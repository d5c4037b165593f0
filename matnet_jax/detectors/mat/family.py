"""MAT as a family: what the rest of the library has to know of it."""

from __future__ import annotations

import dataclasses

from matnet_jax.detectors import fine_map
from matnet_jax.detectors.base import Family
from matnet_jax.detectors.mat.agda import RELEASED, AGDAOptions
from matnet_jax.detectors.mat.network import MAT, create_model
from matnet_jax.detectors.mat.objective import (
    CenterOptions,
    LossOptions,
    check,
    derive,
    make_objective,
)
from matnet_jax.detectors.mat.recipes import RECIPES
from matnet_jax.detectors.recipes import RELEASED_RUN

FAMILY = Family(
    title="MAT",
    model=MAT,
    create=create_model,
    sections={
        "losses": LossOptions,
        "agda": AGDAOptions,
        "centers": CenterOptions,
        "fine_map": fine_map.FineMap,
    },
    objective=make_objective,
    derive=derive,
    check=check,
    recipes={
        "paper": {"model": RECIPES["paper"]},
        "released": {
            "model": RECIPES["released"],
            **RELEASED_RUN,
            "losses": {
                "auxiliary_weight": 0.5,
                "match": 0.1,
                "inner_margin": (0.1, -2.0),
                "outer_margin": 0.5,
            },
            "agda": dataclasses.asdict(RELEASED),
            "centers": {"move_twice": True},
        },
    },
    reads=fine_map.reads,
    provenance="port",
)
