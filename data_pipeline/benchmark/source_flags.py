"""Flags that say of what a benchmark is made; `matnet sweep` has them too."""

from __future__ import annotations

from pathlib import Path

from absl import flags

VIDEOS = ("ffpp", "dfdc")
"""Data sets of videos that may join the gate."""


def define_source_flags(values: flags.FlagValues) -> None:
    """Defines the flags that say of what the records are made."""
    flags.DEFINE_string("portraits", None, "Folder with manifest.csv.", flag_values=values)
    for name in VIDEOS:
        flags.DEFINE_string(
            name, None, f"Folder of {name}, for the gate's videos.", flag_values=values
        )
    flags.DEFINE_string(
        "photos", None, "Folder of other photos of real people, to choose by.", flag_values=values
    )
    flags.DEFINE_string(
        "detector_weights", None, "YuNet's file; the package's own by default.", flag_values=values
    )
    flags.DEFINE_string(
        "landmark_weights", None, "The mesh's file; fetched once by default.", flag_values=values
    )


def given_portraits(values: flags.FlagValues) -> Path:
    """The folder of portraits."""
    return _path(values.portraits)


def given_videos(values: flags.FlagValues) -> dict[str, Path]:
    """Folders of videos, by data set."""
    folders = {name: values[name].value for name in VIDEOS}
    return {name: _path(folder) for name, folder in folders.items() if folder}


def given_photos(values: flags.FlagValues) -> Path | None:
    """The folder of other photos, if there is one."""
    return _path(values.photos) if values.photos else None


def given_weights(values: flags.FlagValues) -> tuple[Path | None, Path | None]:
    """Files of YuNet (None: the package's own) and of the face mesh (None: fetched once)."""
    detector, landmarks = values.detector_weights, values.landmark_weights
    return _path(detector) if detector else None, _path(landmarks) if landmarks else None


def _path(text: str) -> Path:
    return Path(text).expanduser().absolute()
