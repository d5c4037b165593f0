"""Pairs of a source's real examples, by row and seed."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from data_pipeline.training.blend.base import PairOp
from data_pipeline.training.blend.donors import Donors
from data_pipeline.training.draws import stream
from data_pipeline.training.errors import DataError
from data_pipeline.training.example import Example
from data_pipeline.training.sources import Source

VALIDATION_MARGIN = 0.125
"""At each side of the face in validation and test; in training it is drawn."""
_OPTIONAL = ("box",)
"""Read where the source has it: pairs are then cut as prediction cuts a photo."""
# Of the generator that draws a pair; the ops that follow have those from 0 on (see `apply_ops`).
_STREAM = 2**32


class Pairs:
    """Makes pairs of a source's real examples; each is a pure function of row and seed.

    Args:
      source: of the real examples.
      op: makes a pair of one.
      name: of the kind, for messages.

    Raises:
      DataError: the source has not what the op reads.
    """

    def __init__(self, source: Source, op: PairOp, name: str) -> None:
        missing = [field for field in op.reads if field not in source.fields]
        if missing:
            have = ", ".join(("image", "label", *source.fields))
            five = " or set outline='five'" if "landmarks" in source.fields else ""
            raise DataError(
                f"'{name}' pairs need {', '.join(missing)} of {source}, which holds {have}: "
                "records hold landmarks after `python -m data_pipeline.prepare … "
                f"--landmarks=face_mesh`;{five}"
            )
        self.name = name
        self._source, self._op = source, op
        self._donors = Donors(source) if op.needs_donor else None

    def __call__(
        self, rows: np.ndarray, seeds: np.ndarray, fields: Sequence[str] = ()
    ) -> list[tuple[Example, Example]]:
        """A pair of each row.

        Args:
          rows: of real examples, int64 [n].
          seeds: uint32 [n].
          fields: that the pairs have beside image, label and mask.

        Raises:
          DataError: an example cannot be read, or a row is no real example.
        """
        optional = (field for field in _OPTIONAL if field in self._source.fields)
        asked = (field for field in fields if field != "mask")
        wanted = tuple(dict.fromkeys((*self._op.reads, *optional, *asked)))
        draws = [stream(int(s), _STREAM) for s in seeds]
        examples = self._source.read(rows, wanted)
        donors: Sequence[Example | None] = [None] * len(rows)
        if self._donors is not None:
            lent = [self._donors(int(r), draw) for r, draw in zip(rows, draws, strict=True)]
            donors = self._source.read(np.array(lent, np.int64), wanted)
        pairs = []
        for row, example, draw, donor in zip(rows, examples, draws, donors, strict=True):
            try:
                pairs.append(self._op.pair(example, draw, donor))
            except ValueError as error:
                raise DataError(f"'{self.name}' of row {row} of {self._source}: {error}") from error
        return pairs


def for_validation(op: PairOp, margin: float = VALIDATION_MARGIN) -> PairOp:
    """The op with a fixed margin at each side of the face, where it has one.

    Raises:
      ValueError: a margin that the op does not allow.
    """
    made: Any = op
    if any(field.name == "margin" for field in dataclasses.fields(made)):
        made = dataclasses.replace(made, margin=(margin, margin))
    return made
