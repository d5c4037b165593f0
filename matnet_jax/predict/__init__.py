"""From images and videos to scores: `Predictor`, and the command behind `run_eval.py --inputs`."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matnet_jax.predict.predictor import Predictor
    from matnet_jax.predict.results import FaceScore, Prediction, Track

_MODULES = {"Predictor": "predictor", "FaceScore": "results", "Prediction": "results"}
_MODULES["Track"] = "results"

__all__ = ["FaceScore", "Prediction", "Predictor", "Track"]


def __getattr__(name: str) -> Any:
    # Not on import, which takes JAX and OpenCV: the command answers --help and typos at once.
    if name not in _MODULES:
        raise AttributeError(f"module {__name__} has no attribute {name}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
