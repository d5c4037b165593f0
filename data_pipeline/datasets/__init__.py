"""Data sets by name."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from data_pipeline.datasets.base import SPLITS, DataSet, DataSetError, Listing, Video
from data_pipeline.datasets.celeb_df import CelebDFv1, CelebDFv2
from data_pipeline.datasets.deeperforensics import DeeperForensics
from data_pipeline.datasets.deepfakebench import DeepfakeBench
from data_pipeline.datasets.deepfakedetection import DeepFakeDetection
from data_pipeline.datasets.df40 import DF40
from data_pipeline.datasets.dfdc import DFDC
from data_pipeline.datasets.dfdc_preview import DFDCPreview
from data_pipeline.datasets.ffiw import FFIW
from data_pipeline.datasets.ffpp import FaceForensics
from data_pipeline.datasets.folder import Folder
from data_pipeline.datasets.portraits import Portraits
from data_pipeline.datasets.synthetic import Synthetic
from data_pipeline.datasets.wilddeepfake import WildDeepfake

DATA_SETS: dict[str, Callable[..., DataSet]] = {
    "ffpp": FaceForensics,
    "deepfakedetection": DeepFakeDetection,
    "celeb_df_v1": CelebDFv1,
    "celeb_df_v2": CelebDFv2,
    "dfdc": DFDC,
    "dfdc_preview": DFDCPreview,
    "deeperforensics": DeeperForensics,
    "wilddeepfake": WildDeepfake,
    "ffiw": FFIW,
    "df40": DF40,
    "deepfakebench": DeepfakeBench,
    "portraits": Portraits,
    "folder": Folder,
    "synthetic": Synthetic,
}


def options_of(name: str) -> dict[str, Any]:
    """The options of a data set and their defaults.

    Raises:
      DataSetError: it is unknown; the message lists those there are.
    """
    if name not in DATA_SETS:
        raise DataSetError(f"unknown data set '{name}'; available: {', '.join(DATA_SETS)}")
    return {name: p.default for name, p in inspect.signature(DATA_SETS[name]).parameters.items()}


def open_data_set(name: str, **options: Any) -> DataSet:
    """The data set of that name.

    Args:
      name: of `DATA_SETS`.
      **options: the fields of its dataclass, such as `manipulations` of "ffpp".

    Raises:
      DataSetError: name or option is unknown, or an option is of another type; the message lists
        those there are.
    """
    known = options_of(name)
    for option, value in options.items():
        if option not in known:
            listed = ", ".join(known) or "none"
            raise DataSetError(f"data set '{name}' has no option '{option}'; it has: {listed}")
        wanted = type(known[option])
        if not isinstance(value, wanted) and not (wanted is float and isinstance(value, int)):
            raise DataSetError(
                f"option {option} of data set '{name}' is a {wanted.__name__} such as "
                f"{known[option]!r}; got {value!r}"
            )
    return DATA_SETS[name](**options)


__all__ = [
    "DATA_SETS",
    "SPLITS",
    "DataSet",
    "DataSetError",
    "Listing",
    "Video",
    "open_data_set",
    "options_of",
]
