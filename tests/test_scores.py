"""scores.csv and metrics.json: what is written is read back, and what can't be read is named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data_pipeline import files
from matnet_jax.metrics.scores import (
    SCORE_COLUMNS,
    read_metrics,
    read_scores,
    write_metrics,
    write_scores,
)

HEADER = "dataset,subset,compression,split,video_id,frame,face,label,score"


def columns(n: int = 4, dtype: Any = np.float32) -> Any:
    rng = np.random.default_rng(0)
    return {
        "dataset": np.array(["ffpp"] * n),
        "subset": np.array(["youtube", "Deepfakes"] * (n // 2)),
        "compression": np.array(["c23"] * n),
        "split": np.array(["test"] * n),
        "video_id": np.array([f"{i:03d}" for i in range(n)]),
        "frame": np.arange(n, dtype=np.int32) * 7,
        "face": np.zeros(n, np.int32),
        "label": np.array([0, 1] * (n // 2), np.int32),
        "score": rng.random(n).astype(dtype),
    }


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_scores_come_back_to_the_last_bit(tmp_path: Path, dtype: Any) -> None:
    written = columns(200, dtype)
    write_scores(tmp_path / "new" / "scores.csv", written)
    read = read_scores(tmp_path / "new" / "scores.csv")
    assert list(read) == list(SCORE_COLUMNS)
    for name in SCORE_COLUMNS:
        np.testing.assert_array_equal(read[name], written[name])
    assert read["label"].dtype == read["frame"].dtype == read["face"].dtype == np.int32
    assert read["score"].dtype == np.float64


def test_header_is_exactly_the_contract_and_other_columns_stay_out(tmp_path: Path) -> None:
    path = tmp_path / "scores.csv"
    write_scores(path, {**columns(), "timestamp": np.zeros(4), "source_id": np.array([""] * 4)})
    lines = path.read_text().splitlines()
    assert lines[0] == HEADER
    assert len(lines) == 5
    assert lines[1].startswith("ffpp,youtube,c23,test,000,0,0,0,0.")


def test_people_come_last_where_they_are_known(tmp_path: Path) -> None:
    path = tmp_path / "scores.csv"
    write_scores(path, {**columns(), "source_id": np.array(["007", "", "a,b", "c"])})
    assert path.read_text().splitlines()[0] == HEADER + ",source_id"
    assert read_scores(path)["source_id"].tolist() == ["007", "", "a,b", "c"]


def test_names_with_commas_quotes_newlines_and_leading_zeros_survive(tmp_path: Path) -> None:
    written = columns()
    written["video_id"] = np.array(['a,"b"', "line\nbreak\rboth", "007", "<script>é\udcff"])
    write_scores(tmp_path / "s.csv", written)
    assert read_scores(tmp_path / "s.csv")["video_id"].tolist() == written["video_id"].tolist()


def test_no_rows(tmp_path: Path) -> None:
    empty = {name: column[:0] for name, column in columns().items()}
    write_scores(tmp_path / "s.csv", empty)
    read = read_scores(tmp_path / "s.csv")
    assert all(len(column) == 0 for column in read.values())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"score": np.array([0.1, np.nan, 0.2, 0.3])}, "score of row 1 is nan"),
        ({"score": np.array([0.1, 0.2, 1.5, 0.3])}, "score of row 2 is 1.5"),
        ({"label": np.array([0, 1, 2, 0])}, "label of row 2 is 2"),
        ({"frame": np.arange(3)}, r"frame \(3,\)"),
    ],
)
def test_bad_columns_write_nothing_and_keep_the_old_file(
    tmp_path: Path, change: Any, message: Any
) -> None:
    path = tmp_path / "s.csv"
    write_scores(path, columns())
    before = path.read_bytes()
    with pytest.raises(ValueError, match=message):
        write_scores(path, {**columns(), **change})
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["s.csv"]


def test_a_missing_column_is_named_on_writing() -> None:
    without = columns()
    del without["face"]
    with pytest.raises(ValueError, match=r"lack the column\(s\) face; they have compression"):
        write_scores("never-written.csv", without)


def test_a_write_that_dies_half_way_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def header_alone(values: Any) -> str:
        if "score" in values:
            return ",".join(values)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files, "csv_line", header_alone)
    with pytest.raises(OSError, match="No space"):
        write_scores(tmp_path / "s.csv", columns())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("ffpp,DF,c23,test,1,0,0,1,high", "line 3: score is 'high', wanted a number"),
        ("ffpp,DF,c23,test,1,0,0,1,nan", r"line 3: score is 'nan', wanted a probability"),
        ("ffpp,DF,c23,test,1,0,0,1,-0.1", r"line 3: score is '-0.1', wanted a probability"),
        ("ffpp,DF,c23,test,1,0.5,0,1,0.5", "line 3: frame is '0.5', wanted a whole number"),
        ("ffpp,DF,c23,test,1,9999999999,0,1,0.5", "line 3: frame is .* does not fit"),
        ("ffpp,DF,c23,test,1,0,0,fake,0.5", "line 3: label is 'fake', wanted a whole number"),
        ("ffpp,DF,c23,test,1,0,0,2,0.5", r"line 3: label is '2', wanted 0 \(real\)"),
        ("ffpp,DF,c23,test,1,0,0,1", "line 3: 8 fields, the header has 9"),
    ],
)
def test_a_bad_value_is_named_with_its_line(tmp_path: Path, line: Any, message: Any) -> None:
    path = tmp_path / "s.csv"
    path.write_text(f"{HEADER}\nffpp,DF,c23,test,0,0,0,1,0.5\n{line}\n")
    with pytest.raises(ValueError, match=message):
        read_scores(path)


def test_a_missing_column_or_file_is_named_on_reading(tmp_path: Path) -> None:
    path = tmp_path / "s.csv"
    path.write_text("dataset,video,score\n")
    with pytest.raises(ValueError, match=r"lacks the column.*subset.*its header is dataset,video"):
        read_scores(path)
    path.write_text("")
    with pytest.raises(ValueError, match="its header is empty"):
        read_scores(path)
    with pytest.raises(FileNotFoundError, match=r"run_eval\.py writes"):
        read_scores(tmp_path / "none.csv")


def test_columns_in_another_order_and_a_spreadsheets_byte_order_mark_are_read(
    tmp_path: Path,
) -> None:
    path = tmp_path / "s.csv"
    path.write_bytes(
        b"\xef\xbb\xbfscore,label,face,frame,note,video_id,split,compression,subset,dataset\r\n"
        b"0.25,1,0,3,x,001,test,c23,DF,ffpp\r\n\r\n"
    )
    read = read_scores(path)
    assert read["score"].tolist() == [0.25]
    assert read["video_id"].tolist() == ["001"]


def test_metrics_json(tmp_path: Path) -> None:
    path = tmp_path / "metrics.json"
    write_metrics(path, {"frame": {"auc": None, "acc": 0.5}})
    assert '"auc": null' in path.read_text()
    assert read_metrics(path) == {"frame": {"auc": None, "acc": 0.5}}
    with pytest.raises(ValueError, match="JSON compliant"):
        write_metrics(path, {"auc": float("nan")})
    assert read_metrics(path)["frame"]["acc"] == 0.5
    path.write_text("{")
    with pytest.raises(ValueError, match="is not JSON"):
        read_metrics(path)
    path.write_text("[]")
    with pytest.raises(ValueError, match="holds a list"):
        read_metrics(path)
