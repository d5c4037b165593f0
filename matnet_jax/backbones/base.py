"""What a backbone is: a module with named endpoints, and the facts that detectors ask of it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any, Protocol

import jax


class FeatureExtractor(Protocol):
    """The module of a backbone."""

    @property
    def endpoint_channels(self) -> dict[str, int]:
        """Channels of every endpoint in order of depth, known without running the network."""

    def __call__(
        self, images: jax.Array, train: bool, weight: jax.Array | None = None
    ) -> dict[str, jax.Array]:
        """Images [B, H, W, 3] -> every endpoint [B, h, w, C] by name, "final" the last.

        In training, examples of `weight` [B] 0 have no part in batch statistics.
        """


@dataclasses.dataclass(frozen=True)
class Backbone:
    """One entry of the table of backbones.

    Attributes:
      make: the module, of `dtype`, `remat`, `bn_group_size`, `parent` and those of `options` that
        are set.
      native_size: pixels that the architecture was designed for.
      image_size: pixels that a detector on it takes by default.
      texture_stage: where a detector reads textures by default.
      attention_stage: where it reads attention by default.
      classifier_dropout: of the plain classifier by default.
      options: fields of a detector (see `BackboneDetector`) that it knows.
    """

    make: Callable[..., Any]
    native_size: int
    image_size: int
    texture_stage: str
    attention_stage: str
    classifier_dropout: float = 0.0
    options: tuple[str, ...] = ()

    def check_options(self, name: str, given: dict[str, Any]) -> dict[str, Any]:
        """Those of `given` that are set.

        Raises:
          ValueError: one that the backbone does not know is set; the message lists those it knows.
        """
        # False, or a rate of 0, switches off what a backbone has not got anyway.
        unknown = [
            option
            for option, value in given.items()
            if option not in self.options and value not in (None, False, 0.0)
        ]
        if unknown:
            values = ", ".join(f"{option}={given[option]!r}" for option in unknown)
            raise ValueError(
                f"{name} has no option for {values}; it knows {', '.join(self.options) or 'none'}. "
                "Leave the others at None"
            )
        return {k: v for k, v in given.items() if k in self.options and v is not None}


def scaled(number: int, factor: float) -> int:
    """Channels or blocks times a factor, at least 1."""
    return max(math.ceil(number * factor), 1)
