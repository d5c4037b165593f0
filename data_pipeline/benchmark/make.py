"""Makes the benchmark: images, lists, records, attributes; or what is not there yet of them."""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections.abc import Iterator, Mapping
from pathlib import Path

from data_pipeline.benchmark.attributes import group_edges, skin_tones, write_attributes
from data_pipeline.benchmark.lists import Row, image_rows, photo_rows, video_rows, write_list
from data_pipeline.benchmark.people import CHOOSE, GATE, People
from data_pipeline.extract.crops import Settings
from data_pipeline.files import write_json
from data_pipeline.landmarks.find import landmark_finder
from data_pipeline.prepare import Report, prepare
from data_pipeline.swaps import make as swaps
from data_pipeline.swaps.store import Storage
from data_pipeline.training.sources import RecordSource

PORTRAITS = "portraits"
_DONE = "benchmark.json"


class BenchmarkError(ValueError):
    """The benchmark cannot be made; the message says why."""


@dataclasses.dataclass(frozen=True)
class Plan:
    """What determines the benchmark, with the portraits.

    Attributes:
      people: who is for what.
      widths: of donors' faces in pixels, None as they are; each is of a third of a kind's swaps.
      crfs: of x264, which every photo and swap goes through.
      jpegs: shares of its size at which every photo is a JPEG too, as small faces come.
      quality: of these.
      num: swaps a kind, rate factor and part.
      seed: of the swaps.
      crop_size: pixels of the records.
      margin: of the crops, in sides of the face.
      num_frames: of a video.
    """

    people: People = dataclasses.field(default_factory=People)
    widths: tuple[int | None, ...] = (None, 96, 64)
    crfs: tuple[int, ...] = (23, 40)
    jpegs: tuple[float, ...] = (0.9, 0.5)
    quality: int = 75
    num: int = 99
    seed: int = 0
    crop_size: int = 512
    margin: float = 2.6
    num_frames: int = 32

    def cut(self, *, landmarks: str = "", num_frames: int = 1) -> Settings:
        """How faces are found and cut."""
        return Settings(
            detector="yunet",
            alignment="box",
            margin=self.margin,
            crop_size=self.crop_size,
            num_frames=num_frames,
            landmarks=landmarks,
        )


@dataclasses.dataclass(frozen=True)
class Weights:
    """Files of YuNet (None: the package's own) and of the face mesh (None: fetched once)."""

    detector: Path | None = None
    landmarks: Path | None = None


def make_benchmark(
    portraits: Path,
    out: Path,
    plan: Plan,
    *,
    videos: Mapping[str, Path] | None = None,
    photos: Path | None = None,
    weights: Weights | None = None,
    parts: tuple[str, ...] = (PORTRAITS, CHOOSE, GATE),
    workers: int | None = None,
) -> dict[str, Report]:
    """Makes records to train on and to judge by.

    Below `out`: `images/choose/…`, `images/gate/…`, and records in `portraits` (the people to train
    on in its split train; those to choose by in val), `choose` and `gate` (all in test), the latter
    two with `attributes.csv`. A part that is there is left as it is.

    Args:
      portraits: folder with `manifest.csv`; see the data set `portraits`.
      out: is made.
      plan: of the benchmark.
      videos: name of a data set -> folder; their videos join the gate.
      photos: folder of photos of other people, as they are; they join those to choose by.
      weights: of what finds faces.
      parts: to be made now; the gate needs choose, whose skin tones its quartiles are of.
      workers: processes; None for one a core.

    Returns:
      What came of each part that was made now.

    Raises:
      BenchmarkError: `out` was made of something else.
      DataSetError, SwapError, PrepareError: there is nothing to make it of.
    """
    weights, videos = weights or Weights(), videos or {}
    made: dict[str, Report] = {}
    for part in parts:
        folder = out / part
        joining = videos if part == GATE else {}
        own = photos if part == CHOOSE else None
        inputs = {
            "plan": dataclasses.asdict(plan),
            "portraits": str(portraits),
            "videos": {name: str(root) for name, root in joining.items()},
            "photos": str(own) if own else None,
        }
        if _is_made(folder, inputs):
            continue
        if part == PORTRAITS:
            made[part] = prepare(
                "portraits",
                portraits,
                folder,
                settings=plan.cut(landmarks="face_mesh"),
                options=dataclasses.asdict(plan.people.data_set),
                splits=("train", "val"),
                weights=weights.detector,
                landmark_weights=weights.landmarks,
                workers=workers,
            )
        else:
            edges = None if part == CHOOSE else _edges(out / CHOOSE)
            others = video_rows(joining) + (photo_rows(own) if own else [])  # refused before work
            made[part] = _records(
                [*_images(portraits, out / "images" / part, part, plan, weights), *others],
                folder,
                plan,
                weights,
                edges=edges,
                workers=workers,
            )
        write_json(folder / _DONE, _plain(inputs))
    return made


def _images(portraits: Path, out: Path, part: str, plan: Plan, weights: Weights) -> list[Row]:
    find = landmark_finder("face_mesh", weights.detector, weights.landmarks)
    rows: list[Row] = []
    for group, compression, settings in _stored(plan):
        folder = out / f"{group}_{compression}"
        sources = plan.people.sources(portraits, part, group)
        items = swaps.make(sources, find, folder, settings).items
        rows += image_rows(items, folder, group, compression)
    return rows


def _stored(plan: Plan) -> Iterator[tuple[str, str, swaps.Settings]]:
    """Whose images, what their compression is called, and how they are made."""
    groups = (*plan.people.swapped, *plan.people.real)
    plain = swaps.Settings(widths=plan.widths, num=0, seed=plan.seed)
    for crf, group in itertools.product(plan.crfs, groups):
        storage = Storage("png", crf=crf)
        num = plan.num if group in plan.people.swapped else 0
        settings = dataclasses.replace(plain, num=num, storage=storage)
        yield group, storage.compression, settings
    for scale, group in itertools.product(plan.jpegs, groups):
        storage = Storage("jpeg", quality=plan.quality)
        settings = dataclasses.replace(plain, scale=scale, storage=storage)
        yield group, f"{storage.compression}_{round(100 * scale)}", settings


def _records(
    rows: list[Row],
    folder: Path,
    plan: Plan,
    weights: Weights,
    *,
    edges: dict[str, list[float]] | None,
    workers: int | None,
) -> Report:
    """Records of a part with its attributes; the quartiles are its own where there are none."""
    write_list(folder / "list.csv", rows)
    report = prepare(
        "folder",
        folder / "list.csv",
        folder,
        settings=plan.cut(num_frames=plan.num_frames),
        weights=weights.detector,
        workers=workers,
    )
    people = {row.name: row.person for row in rows}
    angles = skin_tones(RecordSource(report.records, "test"), people)
    edges = group_edges(rows, angles) if edges is None else edges
    write_json(folder / "skin-tones.json", {"edges": edges})
    write_attributes(folder, rows, angles, edges)
    return report


def _edges(choose: Path) -> dict[str, list[float]]:
    path = choose / "skin-tones.json"
    if not path.is_file():
        raise BenchmarkError(f"no {path}: make the part '{CHOOSE}' before '{GATE}'")
    return json.loads(path.read_text(encoding="utf-8"))["edges"]


def _is_made(folder: Path, inputs: Mapping[str, object]) -> bool:
    path = folder / _DONE
    if not path.is_file():
        return False
    given = json.loads(path.read_text(encoding="utf-8"))
    if given != _plain(inputs):
        raise BenchmarkError(
            f"{folder} was made of something else, see {path}; give another folder, or remove it"
        )
    return True


def _plain(inputs: Mapping[str, object]) -> dict[str, object]:
    return json.loads(json.dumps(inputs))
