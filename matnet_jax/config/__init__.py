"""Configs of a run: their fields, their check, and what is built from them."""

from matnet_jax.config.schema import ConfigError, default_config

__all__ = ["ConfigError", "default_config"]
