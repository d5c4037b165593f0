"""Groups of videos or people, from a CSV file, for the figures by group."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from matnet_jax.metrics.videos import VIDEO_IDENTITY

KEYS = (*VIDEO_IDENTITY, "source_id")


def read_attributes(path: str | Path, columns: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Reads attributes, and gives each row of `columns` its own.

    Args:
      path: a CSV file with a header. Its columns of `KEYS` say whom a line is about: `video_id` or
        `source_id`, and what else of the others is needed to tell videos apart. All further
        columns are attributes, such as `gender`; an empty cell is not known.
      columns: `KEYS`, str [N].

    Returns:
      attribute -> str [N], "" where it is not known.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: it has no key or no attribute, two lines about one key that differ, or none about
        any row.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no attributes at {path} (config.eval.attributes)")
    with open(path, encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file)
        header = list(reader.fieldnames or ())
        keys = [name for name in KEYS if name in header]
        names = [name for name in header if name not in KEYS]
        if not {"video_id", "source_id"} & set(keys) or not names:
            raise ValueError(
                f"{path} has the columns {', '.join(header) or 'none'}; wanted video_id or "
                f"source_id, with others of {', '.join(KEYS)} as needed, and an attribute or more"
            )
        known: dict[tuple[str, ...], tuple[str, ...]] = {}
        for row in reader:
            key = tuple(row[name] or "" for name in keys)
            values = tuple((row[name] or "").strip() for name in names)
            if known.setdefault(key, values) != values:
                about = ", ".join(f"{k}={v}" for k, v in zip(keys, key, strict=True))
                raise ValueError(
                    f"{path}, line {reader.line_num}: {about} has other attributes than before; "
                    f"tell them apart by more of {', '.join(KEYS)}"
                )
    rows = list(zip(*(np.asarray(columns[name]).tolist() for name in keys), strict=True))
    if not any(row in known for row in rows):
        raise ValueError(
            f"{path} is about none of the videos scored: its {', '.join(keys)} are such as "
            f"{next(iter(known), ())}, and the videos' such as {rows[0] if rows else ()}"
        )
    nothing = ("",) * len(names)
    found = [known.get(row, nothing) for row in rows]
    return {name: np.array([values[i] for values in found]) for i, name in enumerate(names)}
