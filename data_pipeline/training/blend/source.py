"""Pairs as a source: what a detector is validated on where the records have no fakes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from data_pipeline.extract.protocol import CropProtocol
from data_pipeline.training.blend.base import PairOp
from data_pipeline.training.blend.pairs import VALIDATION_MARGIN, Pairs, for_validation
from data_pipeline.training.errors import DataError
from data_pipeline.training.example import Example
from data_pipeline.training.sources import Source


class BlendedSource:
    """The real examples of a source, each followed by a fake of it; the same at every reading.

    Row 2i is the i-th real example as the op gives it, row 2i + 1 its fake, whose `subset` is the
    kind's name. The source's own fakes are left out.

    Args:
      source: of the real examples.
      op: makes the pairs; with the margin of `for_validation`.
      name: of the kind.
      seed: of every pair, with the example's row.
      margin: at each side of the face.
      crop_protocol: how the pairs are cut; None: as the source's examples.

    Raises:
      DataError: the source has no real examples, or not what the op reads.
    """

    def __init__(
        self,
        source: Source,
        op: PairOp,
        *,
        name: str,
        seed: int,
        margin: float = VALIDATION_MARGIN,
        crop_protocol: CropProtocol | None = None,
    ) -> None:
        self._pairs = Pairs(source, for_validation(op, margin), name)
        self._source, self._seed = source, seed
        self._reals = np.flatnonzero(source.columns["label"] == 0)
        if not len(self._reals):
            raise DataError(f"no real examples in {source}, which '{name}' pairs are made of")
        self.crop_protocol = crop_protocol or source.crop_protocol
        self.fields: tuple[str, ...] = tuple(dict.fromkeys(("mask", *source.fields)))
        rows = np.repeat(self._reals, 2)
        self.columns = {key: column[rows] for key, column in source.columns.items()}
        fake = np.arange(len(rows)) % 2
        self.columns["label"] = fake.astype(np.int32)
        self.columns["subset"] = np.where(fake, name, self.columns["subset"])

    def __len__(self) -> int:
        return 2 * len(self._reals)

    def __str__(self) -> str:
        return f"'{self._pairs.name}' pairs of {self._source}"

    def read(self, indices: np.ndarray, fields: Sequence[str] = ()) -> list[Example]:
        """See `Source.read`."""
        numbers, members = np.divmod(np.asarray(indices, np.int64), 2)
        made, where = np.unique(numbers, return_inverse=True)  # both of a pair are made at once
        rows = self._reals[made]
        seeds = [np.random.SeedSequence([self._seed, int(r)]).generate_state(1)[0] for r in rows]
        pairs = self._pairs(rows, np.array(seeds), fields)
        return [pairs[i][member] for i, member in zip(where, members, strict=True)]
