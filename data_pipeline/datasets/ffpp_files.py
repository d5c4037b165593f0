"""Where FaceForensics++ keeps what."""

from __future__ import annotations

from pathlib import Path

from data_pipeline.datasets.base import DataSetError
from data_pipeline.datasets.files import first_present

COMPRESSIONS = {"raw": ("raw", "c0"), "c0": ("raw", "c0"), "c23": ("c23",), "c40": ("c40",)}
ORIGINALS = ("youtube", "actors")


def check_compression(compression: str) -> None:
    """Raises DataSetError where there is no such compression."""
    if compression not in COMPRESSIONS:
        known = ", ".join(COMPRESSIONS)
        raise DataSetError(f"FaceForensics++ has compressions {known}; got '{compression}'")


def compression_name(compression: str) -> str:
    """One name for each compression: c0 is raw."""
    return COMPRESSIONS[compression][0]


def subset_folder(root: Path, subset: str) -> Path:
    """The folder of the originals "youtube" or "actors", or of a manipulation."""
    kind = "original_sequences" if subset in ORIGINALS else "manipulated_sequences"
    return root / kind / subset


def ffpp_path(root: Path, subset: str, compression: str, name: str) -> Path:
    """The video file, or the folder of its extracted frames where there is only that."""
    folders = [subset_folder(root, subset) / alias for alias in COMPRESSIONS[compression]]
    return first_present(
        *(folder / "videos" / f"{name}.mp4" for folder in folders),
        *(folder / level / name for folder in folders for level in ("images", "frames")),
    )


def mask(root: Path, subset: str, name: str) -> Path | None:
    """The video or the folder of a fake's masks, there or not; all compressions share it."""
    if subset in ORIGINALS:
        return None
    folder = subset_folder(root, subset) / "masks"
    levels = ("images", "frames")
    return first_present(folder / "videos" / f"{name}.mp4", *(folder / n / name for n in levels))
