"""Multi-attentional deepfake detection in JAX."""

__version__ = "0.2.0"
