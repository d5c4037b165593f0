"""Which videos show the same footage, so that boxes found on one serve for the others."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from data_pipeline.datasets import Video
from data_pipeline.extract.crops import ORIGINALS, Settings, extraction_path
from data_pipeline.extract.extraction import Extraction
from data_pipeline.extract.locate import Boxes


class FootageError(ValueError):
    """The folder that boxes are to come from is no such folder; the message says what it holds."""


def box_files(videos: Iterable[Video], settings: Settings, out: Path) -> dict[Video, Path]:
    """For each video, the file whose boxes serve for it; videos without one are not named.

    Args:
      videos: all of a run.
      settings: `boxes_from` says where to look.
      out: folder of this run.

    Raises:
      FootageError: there is no earlier run in that folder.
      ValueError: a file in it is damaged.
    """
    videos = list(videos)
    if not settings.boxes_from:
        return {}
    if settings.boxes_from == ORIGINALS:
        reals = {
            (v.dataset, v.compression, v.video_id): extraction_path(out, v, settings)
            for v in videos
            if v.label == 0
        }
        return {
            v: reals[key]
            for v in videos
            if v.label and (key := (v.dataset, v.compression, v.original)) in reals
        }
    same, real = _index(Path(settings.boxes_from))
    found = {
        v: same.get((v.dataset, v.subset, v.video_id)) or real.get((v.dataset, v.original))
        for v in videos
    }
    return {video: path for video, path in found.items() if path is not None}


def _index(
    folder: Path,
) -> tuple[dict[tuple[str, str, str], Path], dict[tuple[str, str], Path]]:
    """Files of an earlier run by video, whatever its compression, and those of reals by name."""
    files = sorted((folder / "videos").glob("*.npz"))
    if not files:
        raise FootageError(
            f"--boxes_from={folder}: no videos/*.npz there; give the --out of an earlier run, or "
            f"'{ORIGINALS}'"
        )
    same, real = {}, {}
    for path in files:
        extraction = Extraction.load(path, crops=False)
        if not len(extraction):
            continue
        meta = extraction.meta
        same[meta["dataset"], meta["subset"], meta["video_id"]] = path
        if meta["label"] == 0:
            real[meta["dataset"], meta["video_id"]] = path
    return same, real


def stored_boxes(path: Path | None) -> Boxes | None:
    """The boxes of a file, or None: where there is none, or it has no face."""
    if path is None or not path.exists():
        return None
    extraction = Extraction.load(path, crops=False)
    return extraction.boxes if len(extraction) else None
