"""Whether a network is given faces that are cut as those were that it was trained on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from data_pipeline.extract.protocol import CropProtocol
from matnet_jax.checkpoints.errors import CheckpointMismatchError


def crops_of(metadata: Mapping[str, Any]) -> CropProtocol | None:
    """The protocol in a checkpoint's or an export's metadata; None where none was known."""
    stored = metadata.get("crops")
    return None if stored is None else CropProtocol.from_json(stored)


def check_crops(
    trained: CropProtocol | None,
    now: CropProtocol | None,
    *,
    network: str,
    faces: str,
    override: str = "config.data.check_crops=False",
) -> None:
    """Refuses faces that are cut otherwise.

    Args:
      trained: of the network's training; None where it is not known.
      now: of the faces; None where it is not known.
      network: what the network is, for the message.
      faces: what the faces are, for the message.
      override: what takes them all the same, for the message.

    Raises:
      CheckpointMismatchError: the protocols differ; the message has both values of each field.
    """
    if trained is None or now is None:
        return
    differences = trained.differences(now)
    if differences:
        raise CheckpointMismatchError(
            f"{network} was trained on faces cut otherwise than {faces} (there against here):\n  "
            + "\n  ".join(differences)
            + "\nscores of such faces mean little: cut them as it was trained, or set "
            f"{override} to score them all the same"
        )
