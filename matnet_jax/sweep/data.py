"""Where a sweep's data sets come from: folders of records, or drawn faces in their place."""

import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from ml_collections import ConfigDict

from data_pipeline.training.sources import DataError, find_build


class DataSets(Protocol):
    """Data sets by name."""

    description: str
    drawn: bool
    """Whether faces are drawn, and figures mean nothing."""

    def check(self, names: Sequence[str]) -> None:
        """Raises `DataError` if one of them is not there."""
        ...

    def select(self, config: ConfigDict, name: str) -> None:
        """Sets the fields of `config` that say where the data set is."""
        ...


class Records:
    """Records in folders of the data sets' names: ``<folder>/ffpp-c23`` and so on."""

    drawn = False

    def __init__(self, folder: str | Path) -> None:
        self._folder = Path(folder).expanduser().absolute()
        self.description = f"records in {self._folder}"

    def check(self, names: Sequence[str]) -> None:
        """Raises `DataError` with all that are missing."""
        problems = []
        for name in names:
            try:
                find_build(self._folder / name)
            except DataError as error:
                problems.append(f"{name}: {error}")
        if problems:
            raise DataError(
                "data sets that the runs need are not there (docs/sweeps.md has the commands that "
                "make them):\n  " + "\n  ".join(problems)
            )

    def select(self, config: ConfigDict, name: str) -> None:
        """Sets `data.source` and `data.dir`."""
        config.data.source = "records"
        config.data.dir = str(self._folder / name)


class Embedded:
    """The embedded data set in place of each, with other people for each name."""

    description = "the embedded data set in place of the paper's: no figure here means anything"
    drawn = True

    def check(self, names: Sequence[str]) -> None:
        """It is always there."""

    def select(self, config: ConfigDict, name: str) -> None:
        """Sets `data.source` and `data.synthetic_seed`."""
        config.data.source = "synthetic"
        config.data.synthetic_seed = zlib.crc32(name.encode()) % 1000
