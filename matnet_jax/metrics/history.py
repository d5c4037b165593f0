"""The one reader of a workdir's `metrics.csv`, the course of a training run."""

import csv
import io
import os
from pathlib import Path
from typing import NamedTuple

import numpy as np


class Table(NamedTuple):
    """The file as it stands.

    Attributes:
      columns: names, in the file's order.
      rows: text by column; empty fields are left out.
    """

    columns: list[str]
    rows: list[dict[str, str]]


def read_table(path: str | os.PathLike) -> Table:
    """Reads `metrics.csv`; no columns and no rows if there is no such file.

    What a killed run left half-written is passed over: a last line without its end, and a line of
    fewer or more fields than the header.
    """
    path = Path(path)
    if not path.is_file():
        return Table([], [])
    text = path.read_text(encoding="utf-8")
    lines = csv.reader(io.StringIO(text[: text.rfind("\n") + 1]))
    columns = next(lines, [])
    rows = [dict(zip(columns, line, strict=True)) for line in lines if len(line) == len(columns)]
    return Table(columns, [{name: value for name, value in row.items() if value} for row in rows])


def read_history(path: str | os.PathLike) -> dict[str, np.ndarray] | None:
    """Reads `metrics.csv` as training curves.

    Returns:
      `split` as text and all other columns as float64, NaN where a field is empty; each [rows].
      None if there is no such file, or nothing in it.

    Raises:
      ValueError: a field is no number.
    """
    columns, rows = read_table(path)
    if not columns:
        return None
    try:
        return {
            name: np.array([row.get(name, "") for row in rows], np.str_)
            if name == "split"
            else np.array([float(row.get(name, "nan")) for row in rows], np.float64)
            for name in columns
        }
    except ValueError as error:
        raise ValueError(f"{path} has a field that is no number: {error}") from error
