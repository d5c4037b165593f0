"""The library's networks: MAT, the multi-attentional deepfake detection network, and its kin.

    model = create_model("paper")
    variables = init_variables(model, seed=0)
    out = model.apply(variables, images, train=False)   # out.logits [B, 2]

Importing this module loads JAX, Flax, Optax and NumPy only.
"""

from matnet_jax.detectors.base import Preprocess
from matnet_jax.detectors.classifier import PlainClassifier, create_classifier
from matnet_jax.detectors.mat.network import MAT, create_model
from matnet_jax.detectors.output import MATOutput
from matnet_jax.detectors.registry import create_detector, detectors
from matnet_jax.detectors.variables import abstract_variables, init_variables

__all__ = [
    "MAT",
    "MATOutput",
    "PlainClassifier",
    "Preprocess",
    "abstract_variables",
    "create_classifier",
    "create_detector",
    "create_model",
    "detectors",
    "init_variables",
]
