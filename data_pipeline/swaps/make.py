"""Makes the benchmark, or what is not there yet of it."""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np

from data_pipeline.files import write_json
from data_pipeline.landmarks.find import Find
from data_pipeline.progress import progress
from data_pipeline.swaps.kinds import KINDS, at_face_width
from data_pipeline.swaps.lists import Item, write_lists
from data_pipeline.swaps.plan import Planned, describe, plan
from data_pipeline.swaps.portraits import Face, Source, SwapError, read_face
from data_pipeline.swaps.statistics import probe_auc
from data_pipeline.swaps.store import Storage
from data_pipeline.training.statistics import image_statistics

Statistics = dict[str, dict[str, float | None]]


@dataclasses.dataclass(frozen=True)
class Settings:
    """What determines the benchmark, with its images.

    Attributes:
      kinds: of `KINDS`.
      widths: of donors' faces in pixels, None as they are; each is of as many fakes of a kind.
      num: fakes a kind.
      seed: of everything drawn.
      scale: that every photo is shrunk by before anything else. Photos come as JPEG, whose grid of
        blocks would be whole in reals and broken in fakes: shrinking takes it from both.
      storage: of reals and fakes.
    """

    kinds: tuple[str, ...] = tuple(KINDS)
    widths: tuple[int | None, ...] = (None,)
    num: int = 200
    seed: int = 0
    scale: float = 0.9
    storage: Storage = dataclasses.field(default_factory=Storage)


@dataclasses.dataclass(frozen=True)
class Report:
    """What was made.

    Attributes:
      items: all images, reals first.
      unread: files that could not be read or show no face.
      statistics: AUC of what plain statistics tell, of the whole image and of the face alone:
        {"whole": {"all": …, kind: …}, "face": …}.
    """

    items: tuple[Item, ...]
    unread: tuple[Path, ...]
    statistics: Statistics


def make(sources: Sequence[Source], find: Find | None, out: Path, settings: Settings) -> Report:
    """Makes the images and writes what stands beside them.

    Below `out` come `real/`, a folder a kind, `swaps.csv` for `prepare --dataset=folder`,
    `LICENCES.csv` and `.md`, `statistics.json` and `settings.json`.

    Args:
      sources: the images.
      find: dense landmarks of those that have none stored.
      out: is made; may hold a part, made with the same settings.
      settings: of the benchmark.

    Raises:
      SwapError: no two people with a face, or `out` was made with other settings.
    """
    _check_settings(out / "settings.json", sources, settings)
    read = functools.lru_cache(maxsize=256)(
        lambda i: read_face(sources[i], find, scale=settings.scale)
    )
    described: dict[int, np.ndarray] = {}
    for i in progress(range(len(sources)), unit="image", about="faces"):
        face = read(i)
        if face is not None:
            described[i] = describe(face)
    if len({len(one) for one in described.values()}) > 1:
        raise SwapError("landmarks of several layouts; give images that have those of one, or none")
    rows = list(described)

    def face_of(number: int) -> Face:
        face = read(rows[number])
        if face is None:
            raise SwapError(f"{sources[rows[number]].path} was read before and now cannot be")
        return face

    used = [sources[i] for i in rows]
    planned = plan(
        used,
        np.array(list(described.values())),
        kinds=settings.kinds,
        widths=settings.widths,
        num=settings.num,
        seed=settings.seed,
    )
    suffix = settings.storage.suffix
    reals = [Item(f"real/{one.name}{suffix}", one.name, "real", (one,)) for one in used]
    fakes = [
        Item(
            f"{one.kind}/{one.name}{suffix}",
            one.name,
            one.kind if one.width is None else f"{one.kind}_{one.width}px",
            (used[one.target], used[one.donor]),
        )
        for one in planned
    ]
    _write_images(reals, fakes, planned, face_of, out, settings)
    items = (*reals, *fakes)
    write_lists(items, out, compression=settings.storage.compression)
    targets = [*range(len(used)), *(one.target for one in planned)]
    statistics = _probe(items, [face_of(i).points for i in targets], out)
    write_json(out / "statistics.json", statistics)
    unread = tuple(one.path for i, one in enumerate(sources) if i not in described)
    return Report(items, unread, statistics)


def load(path: Path) -> np.ndarray:
    """An image of the benchmark: uint8 RGB [H, W, 3].

    Raises:
      SwapError: it cannot be read.
    """
    image = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR_RGB)
    if image is None:
        raise SwapError(f"cannot read {path}: remove it, and the same command makes it again")
    return image


def _check_settings(path: Path, sources: Sequence[Source], settings: Settings) -> None:
    """A rerun continues with the same settings and images, so that nothing is mixed."""
    wanted = dataclasses.asdict(settings) | {"images": [source.name for source in sources]}
    wanted = json.loads(json.dumps(wanted))
    if not path.exists():
        write_json(path, wanted)
        return
    try:
        given = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise SwapError(f"{path} is no JSON ({error}); give another --out") from error
    if given != wanted:
        others = [k for k in wanted if not isinstance(given, dict) or given.get(k) != wanted[k]]
        raise SwapError(
            f"{path.parent} was made with other {', '.join(others) or 'settings'}, see {path}; "
            "give another --out, or remove it"
        )


def _write_images(
    reals: Sequence[Item],
    fakes: Sequence[Item],
    planned: Sequence[Planned],
    face_of: Callable[[int], Face],
    out: Path,
    settings: Settings,
) -> None:
    for number, item in enumerate(progress(reals, unit="image", about="reals")):
        if not (out / item.path).exists():
            settings.storage.write(out / item.path, face_of(number).image)
    for one, item in zip(progress(planned, unit="image", about="swaps"), fakes, strict=True):
        if not (out / item.path).exists():
            donor = at_face_width(face_of(one.donor), one.width)
            draw = np.random.default_rng([settings.seed, one.number])
            made = KINDS[one.kind](face_of(one.target), donor, draw)
            settings.storage.write(out / item.path, made)


def _probe(items: Sequence[Item], points: Sequence[np.ndarray], out: Path) -> Statistics:
    """AUC by part of the image and subset.

    Args:
      items: all images.
      points: of the target's face in each.
      out: their folder.
    """
    parts: dict[str, list[np.ndarray]] = {"whole": [], "face": []}
    for item, own in zip(progress(items, unit="image", about="statistics"), points, strict=True):
        image = load(out / item.path)
        low = np.maximum(np.floor(own.min(0)), 0).astype(int)
        high = np.ceil(own.max(0)).astype(int) + 1
        parts["whole"].append(image_statistics(image))
        face = image[low[1] : high[1], low[0] : high[0]]
        parts["face"].append(image_statistics(face if face.size else image))
    labels = np.array([item.label for item in items])
    people = np.array([item.person for item in items])
    subsets = np.array([item.subset for item in items])
    kinds = list(dict.fromkeys(subsets[labels == 1].tolist()))
    chosen = {"all": labels >= 0} | {k: (subsets == k) | (labels == 0) for k in kinds}
    return {
        part: {
            name: probe_auc(np.array(values)[rows], labels[rows], people[rows].tolist())
            for name, rows in chosen.items()
        }
        for part, values in parts.items()
    }
