"""Flags of the benchmarks of the whole network; loads nothing, as the PyTorch peer's side needs."""

from __future__ import annotations

from typing import Any

from absl import flags


def define_flags(*, batch_size: int, dtype: str) -> None:
    """The flags that `network.model_from_flags` reads, and ``--batch_size``."""
    flags.DEFINE_enum("recipe", "paper", ["paper", "released"], "Of network and training step.")
    flags.DEFINE_string("backbone", "efficientnet-b4", "Of the network.")
    flags.DEFINE_integer("image_size", 380, "Pixels.")
    flags.DEFINE_integer("batch_size", batch_size, "Images, over all devices.")
    flags.DEFINE_enum("dtype", dtype, ["bfloat16", "float32"], "Of computation.")
    flags.DEFINE_bool("remat", False, "Compute activations again in the backward pass.")
    flags.DEFINE_integer("bn_group_size", None, "Images that share batch statistics.")


def settings() -> dict[str, Any]:
    """The flags' values, for the line of a result."""
    names = ("recipe", "backbone", "image_size", "batch_size", "dtype", "remat", "bn_group_size")
    return {name: flags.FLAGS[name].value for name in names}
