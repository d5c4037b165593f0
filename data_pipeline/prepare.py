"""From a data set's videos to records of face crops.

    python -m data_pipeline.prepare --dataset=ffpp --root=DIR --out=DIR [--compression=c23]
    python -m data_pipeline.prepare … -- --runner=FlinkRunner --flink_master=HOST:PORT

What follows a lone ``--`` are Apache Beam's options; without any, extraction runs on this machine's
cores. The same command again continues: videos that are done are not decoded again.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from absl import flags

from data_pipeline.commands import Command, ending_on_sigterm
from data_pipeline.coverage import write_coverage, write_failures, write_missing
from data_pipeline.datasets import SPLITS, Listing, Video, open_data_set
from data_pipeline.datasets.base import is_present
from data_pipeline.datasets.option_flags import (
    define_data_set_flags,
    define_option_flags,
    given_options,
    option_help,
)
from data_pipeline.detectors import DETECTORS, create_detector
from data_pipeline.extract.again import forget_passed
from data_pipeline.extract.crop import ALIGNMENTS, MARGIN
from data_pipeline.extract.crops import (
    DENSE_LANDMARKS,
    IMAGE_FORMATS,
    ORIGINALS,
    Settings,
    extraction_path,
)
from data_pipeline.extract.extraction import Extraction
from data_pipeline.extract.footage import box_files
from data_pipeline.extract.locate import CHOICES
from data_pipeline.files import locked, sha256_of
from data_pipeline.landmarks.face_mesh import FaceMesh
from data_pipeline.pack import FORMATS, held_splits, pack
from data_pipeline.progress import Progress

_SHOWN = 10


class PrepareError(ValueError):
    """Nothing can be prepared; the message says why."""


@dataclasses.dataclass(frozen=True)
class Report:
    """What came of a run: videos prepared, faces, failures and where the records are."""

    videos: int
    faces: int
    failures: list[tuple[Video, str]]
    missing: int
    records: Path


def prepare(
    dataset: str,
    root: Path,
    out: Path,
    *,
    settings: Settings,
    options: Mapping[str, Any] | None = None,
    compression: str = "c23",
    splits: tuple[str, ...] = SPLITS,
    weights: Path | None = None,
    landmark_weights: Path | None = None,
    allow_missing: bool = False,
    file_format: str = "array_record",
    workers: int | None = None,
    beam_options: Sequence[str] = (),
) -> Report:
    """Extracts the face crops of a data set and packs them into records.

    Writes below `out`: `videos/` (one file a finished video), `failures.csv`, `coverage.json`,
    `missing.txt` and the TFDS build.

    Args:
      dataset: name of the data set.
      root: its folder.
      out: is made.
      settings: of every video.
      options: of the data set.
      compression: of FaceForensics++.
      splits: to prepare.
      weights, landmark_weights: files of the detector and of the dense landmarks; None takes
        YuNet's in the package, and fetches those of landmarks once.
      allow_missing: whether to go on where videos are missing.
      file_format: of the records.
      workers: processes; None for one a core.
      beam_options: for another runner than this machine's processes.

    Raises:
      PrepareError: videos are missing and `allow_missing` is not set, masks are asked for and there
        are none, there is not one face, or the records that are there hold other splits too.
      DataSetError, DetectorError, LandmarkError: the data set, the detector or what finds dense
        landmarks cannot be opened.
      InUseError: another process writes to `out`.
    """
    from data_pipeline.extract.beam import extract  # seconds to import: not for --help or a typo

    data_set = open_data_set(dataset, **(options or {}))
    listing = data_set.list(root, compression=compression, splits=splits)
    name = "_".join(filter(None, (dataset, compression if dataset == "ffpp" else "")))
    with locked(out):
        _check_splits(held_splits(out, name), splits, out / name)
        _check_missing(listing, root, out, allow_missing)
        maskless: list[Video] = []
        if settings.masks:
            listing, maskless = _with_masks(listing, dataset)
        create_detector(settings.detector, weights)  # says what is wrong before any work starts
        if settings.detector == "retinaface" and weights is not None:  # others have one file alone
            settings = dataclasses.replace(settings, detector_sha256=sha256_of(weights))
        if settings.landmarks:
            FaceMesh(landmark_weights)  # likewise
        files = [extraction_path(out, v, settings) for v in listing.present]
        own = settings.boxes_from == ORIGINALS
        boxes = box_files(listing.present, settings, out) if own else {}
        videos = dict(zip(files, listing.present, strict=True))
        kept = forget_passed(videos, boxes, masks=settings.masks)
        with Progress(len(listing.present), done=len(kept), unit="video", about="extract") as bar:
            extract(
                listing.present,
                settings,
                out,
                weights=weights,
                landmark_weights=landmark_weights,
                workers=workers,
                beam_options=beam_options,
                progress=bar.update,
            )
        extractions = [
            kept[path] if path in kept else Extraction.load(path, crops=False) for path in files
        ]
        failures = [
            (video, extraction.problem)
            for video, extraction in zip(listing.present, extractions, strict=True)
            if extraction.problem
        ]
        failures += [(v, f"no mask: {v.mask or 'none of its subset'}") for v in maskless]
        faces = [len(extraction) for extraction in extractions]
        write_failures(out / "failures.csv", failures)
        write_coverage(out / "coverage.json", listing, faces, without_mask=maskless)
        records = pack(
            files,
            out,
            name=name,
            crop_size=settings.crop_size,
            image_format=settings.image_format,
            file_format=file_format,
            masks=settings.masks,
            num_dense=DENSE_LANDMARKS[settings.landmarks],
            protocol=settings.protocol,
        )
    if records is None:
        raise PrepareError(
            f"not one face in {len(files)} videos: see {out / 'failures.csv'}; another --detector "
            "or a smaller --min_face may find some"
        )
    return Report(len(files) + len(maskless), sum(faces), failures, len(listing.missing), records)


def _check_missing(listing: Listing, root: Path, out: Path, allow_missing: bool) -> None:
    total = len(listing.present) + len(listing.missing)
    if not listing.present:
        first = listing.missing[0].path if listing.missing else root
        raise PrepareError(f"none of {total} videos is below {root}; looked for {first}, …")
    if not listing.missing:
        return
    names = [str(video.path) for video in listing.missing]
    shown = "\n  ".join(names[:_SHOWN])
    message = f"{len(names)} of {total} videos are missing, such as\n  {shown}"
    if not allow_missing:
        raise PrepareError(f"{message}\nComplete the data set, or go on with --allow_missing.")
    write_missing(out / "missing.txt", listing.missing)
    print(f"warning: {message}\nAll are listed in {out / 'missing.txt'}.", file=sys.stderr)


def _check_splits(held: Sequence[str], splits: Sequence[str], records: Path) -> None:
    """Refuses to replace records by those of fewer splits."""
    if lost := [split for split in held if split not in splits]:
        every = " ".join(f"--split={split}" for split in SPLITS if split in {*held, *splits})
        raise PrepareError(
            f"{records} holds {' and '.join(lost)} too, which would be lost: name all splits "
            f"({every}), or give another --out"
        )


def _with_masks(listing: Listing, dataset: str) -> tuple[Listing, list[Video]]:
    """The videos to prepare, and the fakes whose masks are not there.

    Those are not extracted, so that the same command does it once the masks are there.

    Raises:
      PrepareError: not one fake has a mask.
    """
    fakes = [video for video in listing.present if video.label]
    maskless = [video for video in fakes if video.mask is None or not _is_whole(video.mask)]
    if fakes and len(maskless) == len(fakes):
        looked = next((video.mask for video in fakes if video.mask), None)
        if looked is None:
            raise PrepareError(
                f"data set '{dataset}' has no masks of the forged region: run without --masks"
            )
        raise PrepareError(
            f"not one of {len(fakes)} fakes has its mask, such as {looked}: fetch the masks of "
            f"'{dataset}', or run without --masks"
        )
    without = set(maskless)
    present = tuple(video for video in listing.present if video not in without)
    return dataclasses.replace(listing, present=present), maskless


def _is_whole(mask: Path) -> bool:
    """Whether there is something: what a broken download leaves has no bytes."""
    return is_present(mask) and (mask.is_dir() or mask.stat().st_size > 0)


def _file(value: str | None) -> Path | None:
    return Path(value).expanduser().absolute() if value else None


def _boxes_from(value: str) -> str:
    """A folder's name is made absolute: workers may run elsewhere."""
    return value if value in ("", ORIGINALS) else str(Path(value).expanduser().absolute())


def _run(values: flags.FlagValues, beam_options: list[str]) -> int:
    if any(not option.startswith("--") for option in beam_options):
        raise ValueError(f"not a flag: {' '.join(beam_options)}; flags are written --name=value")
    if values.margin is not None and values.detector == "none":
        raise PrepareError("--margin says how faces are cut, and --detector=none cuts none")
    settings = Settings(
        detector=values.detector,
        num_frames=values.num_frames,
        crop_size=values.crop_size,
        alignment=values.alignment,
        faces=values.faces,
        detect_every=values.detect_every,
        min_face=values.min_face,
        min_score=values.min_score,
        image_format=values.image_format,
        quality=values.quality,
        boxes_from=_boxes_from(values.boxes_from),
        masks=values.masks,
        margin=MARGIN if values.margin is None else values.margin,
        landmarks=values.landmarks or "",
    )
    with ending_on_sigterm():
        report = prepare(
            values.dataset,
            Path(values.root).expanduser().absolute(),
            Path(values.out).expanduser().absolute(),
            settings=settings,
            options=given_options(values),
            compression=values.compression,
            splits=tuple(values.split or SPLITS),
            weights=_file(values.detector_weights),
            landmark_weights=_file(values.landmark_weights),
            allow_missing=values.allow_missing,
            file_format=values.format,
            workers=values.workers,
            beam_options=beam_options,
        )
    print(f"{report.faces} faces of {report.videos} videos in {report.records}")
    if report.failures:
        where = Path(values.out) / "failures.csv"
        print(f"{len(report.failures)} videos with problems: see {where}")
    return 0


def _define(values: flags.FlagValues) -> None:
    define_data_set_flags(values)
    flags.DEFINE_string(
        "out", None, "Where crops and records go.", required=True, flag_values=values
    )
    flags.DEFINE_enum(
        "detector", Settings.detector, list(DETECTORS), "Face detector.", flag_values=values
    )
    flags.DEFINE_string(
        "detector_weights", None, "ONNX file of retinaface, or a yunet's.", flag_values=values
    )
    flags.DEFINE_integer("num_frames", 32, "Frames a video.", lower_bound=1, flag_values=values)
    flags.DEFINE_integer("crop_size", 380, "Pixels.", lower_bound=32, flag_values=values)
    flags.DEFINE_enum(
        "alignment",
        "similarity",
        [a for a in ALIGNMENTS if a != "none"],
        "How faces are cut.",
        flag_values=values,
    )
    flags.DEFINE_float(
        "margin",
        None,
        f"Side of the crop in sides of the face; default: {MARGIN}.",
        lower_bound=1.0,
        flag_values=values,
    )
    flags.DEFINE_enum(
        "landmarks",
        None,
        [name for name in DENSE_LANDMARKS if name],
        "Store dense landmarks too.",
        flag_values=values,
    )
    flags.DEFINE_string(
        "landmark_weights", None, "Their file; fetched once by default.", flag_values=values
    )
    flags.DEFINE_enum(
        "faces",
        "largest",
        list(CHOICES),
        "The largest, one track, or all.",
        flag_values=values,
    )
    flags.DEFINE_integer(
        "detect_every",
        1,
        "Of these frames; boxes between are interpolated.",
        lower_bound=1,
        flag_values=values,
    )
    flags.DEFINE_integer("min_face", 20, "Pixels of the frame.", lower_bound=1, flag_values=values)
    flags.DEFINE_float(
        "min_score",
        0.0,
        "Drops detections fainter than it.",
        0.0,
        1.0,
        flag_values=values,
    )
    flags.DEFINE_enum(
        "image_format", "jpeg", list(IMAGE_FORMATS), "Of the crops.", flag_values=values
    )
    flags.DEFINE_integer(
        "quality", 95, "Of JPEG.", lower_bound=1, upper_bound=100, flag_values=values
    )
    flags.DEFINE_bool(
        "masks", False, "Cut and store the masks of the forged region too.", flag_values=values
    )
    flags.DEFINE_string(
        "boxes_from",
        "",
        f"'{ORIGINALS}', or an earlier run's --out.",
        flag_values=values,
    )
    flags.DEFINE_bool("allow_missing", False, "Go on where videos are missing.", flag_values=values)
    flags.DEFINE_enum(
        "format", "array_record", list(FORMATS), "Of the records.", flag_values=values
    )
    flags.DEFINE_integer("workers", None, "Processes; default: one a core.", flag_values=values)
    define_option_flags(values)


COMMAND = Command(
    program="python -m data_pipeline.prepare",
    about=f"{__doc__}\n{option_help()}\n",
    define=_define,
    run=_run,
    arguments="…",
    errors=(ValueError, OSError, RuntimeError),
)

if __name__ == "__main__":
    sys.exit(COMMAND())
