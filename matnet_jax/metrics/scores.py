"""The files an evaluation leaves behind: `scores.csv`, one row a face, and `metrics.json`.

Scores in memory are columns: a dict of arrays, one row a scored face, as the data sources hold
them, plus `score`, the probability of *fake* in [0, 1].
"""

import csv
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from data_pipeline.files import write_csv, write_json

TEXT_COLUMNS = ("dataset", "subset", "compression", "split", "video_id")
INTEGER_COLUMNS = ("frame", "face", "label")
SCORE_COLUMNS = (*TEXT_COLUMNS, *INTEGER_COLUMNS, "score")
PERSON_COLUMN = "source_id"  # last, and only where somebody's is known

Columns = dict[str, np.ndarray]


def check_columns(scores: Mapping[str, Any], wanted: tuple[str, ...] = SCORE_COLUMNS) -> None:
    """Checks that every wanted column is there, one-dimensional and of the same length.

    Raises:
      ValueError: a column is missing or of another length, a label is neither 0 nor 1, or a score
        is not a probability.
    """
    missing = [name for name in wanted if name not in scores]
    if missing:
        raise ValueError(
            f"scores lack the column(s) {', '.join(missing)}; they have "
            f"{', '.join(sorted(scores)) or 'none'}, and need {', '.join(wanted)}"
        )
    shapes = {name: np.shape(scores[name]) for name in wanted}
    if any(len(shape) != 1 for shape in shapes.values()) or len(set(shapes.values())) > 1:
        listing = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
        raise ValueError(f"score columns must be one-dimensional and equally long; got {listing}")
    if "label" in wanted:
        labels = np.asarray(scores["label"])
        _refuse(labels, ~np.isin(labels, (0, 1)), "label", "0 (real) or 1 (fake)")
    if "score" in wanted:
        values = np.asarray(scores["score"], np.float64)
        # Written so that NaN, for which every comparison is false, is refused too.
        _refuse(values, ~((values >= 0) & (values <= 1)), "score", "a probability in [0, 1]")


def _refuse(values: np.ndarray, bad: np.ndarray, name: str, wanted: str) -> None:
    if bad.any():
        row = int(np.argmax(bad))
        raise ValueError(
            f"{name} of row {row} is {values[row]}, wanted {wanted} ({int(bad.sum())} such rows)"
        )


def write_scores(path: str | os.PathLike, scores: Mapping[str, Any]) -> None:
    """Writes `scores.csv`; the same rows are read back exactly, scores to the last bit.

    Args:
      path: the file; its folder is made.
      scores: columns, each [N]; those outside `SCORE_COLUMNS` are not written, but for `source_id`
        where it is known of any row.

    Raises:
      ValueError: see `check_columns`. Nothing is written then.
      OSError: the file can't be written.
    """
    check_columns(scores)
    texts = [np.asarray(scores[name]).astype(str).tolist() for name in TEXT_COLUMNS]
    integers = [np.asarray(scores[name]).astype(np.int64).tolist() for name in INTEGER_COLUMNS]
    values = [repr(value) for value in np.asarray(scores["score"], np.float64).tolist()]
    people = np.asarray(scores.get(PERSON_COLUMN, ())).astype(str)
    more = {PERSON_COLUMN: people.tolist()} if np.any(people != "") else {}
    rows = zip(*texts, *integers, values, *more.values(), strict=True)
    write_csv(path, (*SCORE_COLUMNS, *more), rows)


def read_scores(path: str | os.PathLike) -> Columns:
    """Reads `scores.csv`: text columns as str, `frame`, `face`, `label` int32, `score` float64.

    `source_id` is str, where the file has it; other columns beyond `SCORE_COLUMNS` are ignored. A
    file of the header alone gives empty columns.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: a column is missing, or a value can't be read; with the line's number.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no scores at {path}; run_eval.py writes scores.csv there")
    # What of a file's name is no UTF-8 stands in it as it is: see `write_csv`.
    with open(path, encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        reader = csv.reader(file)
        header = next(reader, [])
        missing = [name for name in SCORE_COLUMNS if name not in header]
        if missing:
            raise ValueError(
                f"{path} lacks the column(s) {', '.join(missing)}: its header is "
                f"{','.join(header) or 'empty'}, wanted {','.join(SCORE_COLUMNS)}"
            )
        people = (PERSON_COLUMN,) if PERSON_COLUMN in header else ()
        wanted = (*SCORE_COLUMNS, *people)
        position = {name: header.index(name) for name in wanted}
        values: dict[str, list] = {name: [] for name in wanted}
        for row in reader:
            if not row:
                continue
            where = f"{path}, line {reader.line_num}"
            if len(row) != len(header):
                raise ValueError(f"{where}: {len(row)} fields, the header has {len(header)}")
            for name in wanted:
                values[name].append(_parse(name, row[position[name]], where))
    return {
        **{name: np.array(values[name], dtype=np.str_) for name in TEXT_COLUMNS},
        **{name: np.array(values[name], dtype=np.int32) for name in INTEGER_COLUMNS},
        "score": np.array(values["score"], dtype=np.float64),
        **{name: np.array(values[name], dtype=np.str_) for name in people},
    }


def _parse(name: str, text: str, where: str) -> str | int | float:
    if name in TEXT_COLUMNS or name == PERSON_COLUMN:
        return text
    try:
        value = float(text) if name == "score" else int(text)
    except ValueError:
        kind = "a number" if name == "score" else "a whole number"
        raise ValueError(f"{where}: {name} is {text!r}, wanted {kind}") from None
    if name == "label" and value not in (0, 1):
        raise ValueError(f"{where}: label is {text!r}, wanted 0 (real) or 1 (fake)")
    if name == "score" and not 0 <= value <= 1:
        raise ValueError(f"{where}: score is {text!r}, wanted a probability in [0, 1]")
    if name != "score" and not -(2**31) <= value < 2**31:
        raise ValueError(f"{where}: {name} is {text!r}, which does not fit 32 bits")
    return value


def write_metrics(path: str | os.PathLike, metrics: Mapping[str, Any]) -> None:
    """Writes `metrics.json`, undefined values as null.

    Raises:
      ValueError: a value is NaN or infinite, which JSON does not know.
      TypeError: a value is of no type JSON knows.
    """
    write_json(path, metrics)


def read_metrics(path: str | os.PathLike) -> dict[str, Any]:
    """Reads `metrics.json`.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: it is not JSON, or holds no object.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no metrics at {path}; run_eval.py writes metrics.json there")
    try:
        metrics = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise ValueError(f"{path} is not JSON: {error}") from error
    if not isinstance(metrics, dict):
        raise ValueError(f"{path} holds a {type(metrics).__name__}, wanted an object of metrics")
    return metrics
