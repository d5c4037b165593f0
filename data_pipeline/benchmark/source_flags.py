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
    return Path(values.portraits).expanduser().absolute()


def given_videos(values: flags.FlagValues) -> dict[str, Path]:
    """Folders of videos, by data set."""
    folders = {name: values[name].value for name in VIDEOS}
    return {name: Path(str(f)).expanduser().absolute() for name, f in folders.items() if f}


def given_photos(values: flags.FlagValues) -> Path | None:
    """The folder of other photos, if there is one."""
    return Path(values.photos).expanduser().absolute() if values.photos else None


def given_weights(values: flags.FlagValues) -> tuple[Path | None, Path | None]:
    """Files of YuNet (None: the package's own) and of the face mesh (None: fetched once)."""

    def file(value: str | None) -> Path | None:
        return Path(value).expanduser().absolute() if value else None

    return file(values.detector_weights), file(values.landmark_weights)
