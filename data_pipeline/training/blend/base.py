"""What makes a pair (real, fake) of a real example."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from data_pipeline.training.example import Example


class PairOp(Protocol):
    """One way to make a fake: a frozen dataclass whose fields are its options.

    Options that are numbers, texts, booleans or tuples of them are fields of a config. `size` is
    the network's; `margin`, where there is one, is fixed in validation (see `for_validation`).
    """

    @property
    def size(self) -> int:
        """Side of the pair's images, in pixels."""
        ...

    @property
    def reads(self) -> tuple[str, ...]:
        """What of an example it needs beside image and label, of `FIELDS`."""
        ...

    @property
    def needs_donor(self) -> bool:
        """Whether the fake takes something from another real example."""
        ...

    def pair(
        self, example: Example, draw: np.random.Generator, donor: Example | None = None
    ) -> tuple[Example, Example]:
        """A real example, label 0, and a fake, label 1; both have masks and the same landmarks.

        Args:
          example: a real one with the fields that it `reads`; it is left as it is.
          draw: everything is drawn from it.
          donor: another real one with the same fields, where it `needs_donor`.
        """
        ...
