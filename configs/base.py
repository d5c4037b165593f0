"""Every field with its default, for other configs to start from: ``base.py:classifier,released``.

The fields and what they mean are in ``docs/config.md``.
"""

from ml_collections import ConfigDict

from matnet_jax.config import default_config
from matnet_jax.detectors.registry import FAMILIES


def get_config(choice: str = "mat") -> ConfigDict:
    """The config of a family of detectors, of a recipe, or of both: "classifier,released"."""
    parts = choice.split(",")
    # What is neither is taken for a family, whose message then lists them all.
    recipes = {recipe for family in FAMILIES.values() for recipe in family.recipes}
    names = [part for part in parts if part in FAMILIES or part not in recipes]
    recipe = next((part for part in parts if part not in names), "paper")
    return default_config(recipe, *(names or ["mat"]))
