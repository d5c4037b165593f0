"""Sources made of others: several as one, and some rows of one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from data_pipeline.extract.protocol import CropProtocol
from data_pipeline.training.errors import DataError
from data_pipeline.training.example import Example
from data_pipeline.training.sources import Source


class Joined:
    """Several sources, one after the other, as one.

    Args:
      sources: of equal columns.
      check_crops: False: faces that were cut in different ways are joined all the same.

    Raises:
      DataError: their faces were cut in different ways.
    """

    def __init__(self, sources: Sequence[Source], *, check_crops: bool = True) -> None:
        self._sources = sources
        self.crop_protocol = _common_protocol(sources) if check_crops else None
        self.fields = tuple(
            field for field in sources[0].fields if all(field in s.fields for s in sources)
        )
        self._starts = np.cumsum([0, *map(len, sources)])
        names = sources[0].columns
        self.columns = {
            name: np.concatenate([source.columns[name] for source in sources]) for name in names
        }

    def __len__(self) -> int:
        return int(self._starts[-1])

    def __str__(self) -> str:
        return " and ".join(map(str, self._sources))

    def read(self, indices: np.ndarray, fields: Sequence[str] = ()) -> list[Example]:
        """See `Source.read`."""
        indices = np.asarray(indices)
        owners = np.searchsorted(self._starts, indices, side="right") - 1
        examples: dict[int, Example] = {}
        for owner in np.unique(owners):
            where = np.flatnonzero(owners == owner)
            read = self._sources[owner].read(indices[where] - self._starts[owner], fields)
            examples.update(zip(where.tolist(), read, strict=True))
        return [examples[i] for i in range(len(indices))]


def _common_protocol(sources: Sequence[Source]) -> CropProtocol | None:
    """None where that of any source is not known; of older records nothing can be said."""
    protocols = [source.crop_protocol for source in sources]
    known = [(s, p) for s, p in zip(sources, protocols, strict=True) if p is not None]
    for source, protocol in known[1:]:
        first_source, first = known[0]
        if differences := first.differences(protocol):
            raise DataError(
                f"faces of {first_source} and of {source} were cut in different ways "
                f"({'; '.join(differences)}):\n  {first}\n  {protocol}\n"
                "Prepare one of them again with the settings of the other"
            )
    return protocols[0] if len(known) == len(protocols) else None


class Rows:
    """Some rows of a source, as a source."""

    def __init__(self, source: Source, rows: np.ndarray) -> None:
        self._source, self._rows = source, rows
        self.fields, self.crop_protocol = source.fields, source.crop_protocol
        self.columns = {name: column[rows] for name, column in source.columns.items()}

    def __len__(self) -> int:
        return len(self._rows)

    def __str__(self) -> str:
        return f"{len(self)} rows of {self._source}"

    def read(self, indices: np.ndarray, fields: Sequence[str] = ()) -> list[Example]:
        """See `Source.read`."""
        return self._source.read(self._rows[np.asarray(indices)], fields)
