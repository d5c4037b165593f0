"""Of whom each photo and video is, for figures by group: group, person, apparent skin tone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from data_pipeline.benchmark.lists import Row
from data_pipeline.benchmark.skin import quartile, quartile_edges, typology_angle
from data_pipeline.files import write_csv
from data_pipeline.training.sources import Source

_BATCH = 64


def skin_tones(source: Source, people: Mapping[str, str]) -> dict[str, float]:
    """The typology angle of people, each the median over their real faces.

    Args:
      source: crops, with the 5 landmarks.
      people: `video_id` -> person.

    Returns:
      person -> degrees; who has no real face is not there.

    Raises:
      DataError: a record cannot be read, or there are no landmarks.
    """
    found: dict[str, list[float]] = defaultdict(list)
    names = source.columns["video_id"]
    reals = np.flatnonzero(source.columns["label"] == 0)
    for start in range(0, len(reals), _BATCH):
        rows = reals[start : start + _BATCH]
        for row, example in zip(rows, source.read(rows, ("landmarks",)), strict=True):
            assert example.landmarks is not None  # they were asked for
            angle = typology_angle(example.image, example.landmarks)
            if angle is not None:
                found[people[str(names[row])]].append(angle)
    return {person: float(np.median(angles)) for person, angles in found.items()}


def group_edges(rows: Sequence[Row], angles: Mapping[str, float]) -> dict[str, list[float]]:
    """The edges of the quartiles of each group with four people or more.

    Of each group its own: groups differ in light and white balance far more than their people do in
    skin, so that quartiles of all together would be groups under another name.
    """
    groups = {row.person: row.group for row in rows}
    found: dict[str, list[float]] = defaultdict(list)
    for person, angle in angles.items():
        found[groups[person]].append(angle)
    return {group: quartile_edges(own) for group, own in found.items() if len(own) >= 4}


def write_attributes(
    folder: Path,
    rows: Sequence[Row],
    angles: Mapping[str, float],
    edges: Mapping[str, Sequence[float]],
) -> None:
    """Writes `attributes.csv`, for evaluation, and `skin-tones.csv`, for people who look.

    Args:
      folder: of both.
      rows: of the part.
      angles: person -> degrees.
      edges: of each group's quartiles; people of others have none.

    Raises:
      OSError: a file can't be written.
    """
    groups = {row.person: row.group for row in rows}
    tones = {
        person: quartile(angle, edges[groups[person]]) if groups[person] in edges else ""
        for person, angle in angles.items()
    }
    write_csv(
        folder / "attributes.csv",
        ("video_id", "group", "person", "skin_tone"),
        dict.fromkeys((r.name, r.group, r.person, tones.get(r.person, "")) for r in rows),
    )
    write_csv(
        folder / "skin-tones.csv",
        ("person", "typology_angle", "quartile"),
        ((person, f"{angle:.2f}", tones[person]) for person, angle in sorted(angles.items())),
    )
