"""Data sets by name."""

from __future__ import annotations

from data_pipeline.datasets.base import SPLITS, DataSet, DataSetError, Listing, Video
from data_pipeline.datasets.ffpp import FaceForensics
from data_pipeline.datasets.folder import Folder

DATA_SETS: dict[str, type] = {"ffpp": FaceForensics, "folder": Folder}


def open_data_set(name: str) -> DataSet:
    """The data set of that name.

    Raises:
      DataSetError: it is unknown; the message lists those there are.
    """
    if name not in DATA_SETS:
        raise DataSetError(f"unknown data set '{name}'; available: {', '.join(DATA_SETS)}")
    return DATA_SETS[name]()


__all__ = ["DATA_SETS", "SPLITS", "DataSet", "DataSetError", "Listing", "Video", "open_data_set"]
