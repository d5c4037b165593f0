"""Every field with its default. Other configs start from it: ``get_config("paper")``.

The fields and what they mean are in ``matnet_jax/config/schema.py``.
"""

from ml_collections import ConfigDict

from matnet_jax.config import default_config


def get_config(recipe: str = "paper") -> ConfigDict:
    """The config of a recipe."""
    return default_config(recipe)
