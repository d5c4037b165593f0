"""From images and videos to scores: `Predictor`, and the command behind `run_eval.py --inputs`."""

from matnet_jax.predict.predictor import Predictor
from matnet_jax.predict.results import FaceScore, Prediction, Track

__all__ = ["FaceScore", "Prediction", "Predictor", "Track"]
