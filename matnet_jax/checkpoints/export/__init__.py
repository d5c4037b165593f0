"""A trained network for use without this library: a folder of one of several formats.

All take normalised images [b, S, S, 3], or clips [b, T, S, S, 3], with any b, and give float32
arrays by name. How pixels become those images, how faces were cut and what decides is in
`preprocess.json` beside them.
"""

from matnet_jax.checkpoints.export.interface import PREPROCESS_FILE, interface
from matnet_jax.checkpoints.export.onnx import ONNX_FILE, export_onnx
from matnet_jax.checkpoints.export.onnx.errors import UnsupportedError
from matnet_jax.checkpoints.export.savedmodel import SAVEDMODEL_FILE, export_savedmodel
from matnet_jax.checkpoints.export.stablehlo import PLATFORMS, STABLEHLO_FILE, export_stablehlo

__all__ = [
    "ONNX_FILE",
    "PLATFORMS",
    "PREPROCESS_FILE",
    "SAVEDMODEL_FILE",
    "STABLEHLO_FILE",
    "UnsupportedError",
    "export_onnx",
    "export_savedmodel",
    "export_stablehlo",
    "interface",
]
