"""What an augmentation is, and how several are applied."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from data_pipeline.training.draws import stream
from data_pipeline.training.example import Example

Range = tuple[float, float]


class Op(Protocol):
    """One augmentation, which acts with probability `p`.

    One that needs more of an example than its image names it in `reads`, of `example.FIELDS`.
    """

    @property
    def p(self) -> float:
        """Probability that it acts."""
        ...

    def apply(self, example: Example, draw: np.random.Generator) -> Example:
        """An example -> another one, its image of the same shape and type."""
        ...


def fields_of(ops: Sequence[Op]) -> tuple[str, ...]:
    """What of an example augmentations need beside its image."""
    return tuple(dict.fromkeys(field for op in ops for field in getattr(op, "reads", ())))


def apply_ops(example: Example, ops: Sequence[Op], seed: int) -> Example:
    """Applies `ops` in order, each with its probability; a pure function of example and seed.

    Args:
      example: is left as it is.
      ops: each has a random stream of its own, so that adding one leaves the others' draws alone.
      seed: 32 bits.
    """
    for position, op in enumerate(ops):
        draw = stream(seed, position)
        if draw.random() < op.p:
            example = op.apply(example, draw)
    return example
