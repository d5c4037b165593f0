"""Every field with its default, for other configs to start from: ``base.py:classifier,released``.

The fields and what they mean are in ``docs/config.md``.
"""

from ml_collections import ConfigDict

from matnet_jax.config import default_config

_RECIPES = ("paper", "released")


def get_config(choice: str = "mat") -> ConfigDict:
    """The config of a family of detectors, of a recipe, or of both: "classifier,released"."""
    parts = choice.split(",")
    recipes = [part for part in parts if part in _RECIPES]
    names = [part for part in parts if part not in _RECIPES]
    return default_config(*(recipes or ["paper"]), *(names or ["mat"]))
