"""Predictions on disk: all that is done kept, and what a rerun scores."""

from __future__ import annotations

import csv
import dataclasses
import json
import os
from pathlib import Path
from typing import Any

import pytest
from stub_network import squares, stub
from videos import jpeg, moving_square, write_clip

from data_pipeline.extract.limits import Limits
from data_pipeline.files import InUseError, locked
from matnet_jax.predict.files import predict_files

__all__ = ["squares", "stub"]  # fixtures


def test_predictions_on_disk_and_a_rerun(stub: Any, tmp_path: Path) -> None:
    paths = [str(write_clip(tmp_path / f"{i},<i>.mp4", 8 + i)) for i in range(3)]
    paths.append(str(tmp_path / "gone.mp4"))
    out = tmp_path / "out"
    done = predict_files(stub.predictor, paths, out)
    rows = list(csv.DictReader((out / "predictions.csv").open()))
    columns = ["input", "score", "label", "threshold", "frames", "faces", "error"]
    assert list(rows[0]) == [*columns, "skipped", "tracks", "abstained"]
    assert [row["input"] for row in rows] == paths and rows[3]["error"] and not rows[3]["score"]
    assert [float(row["score"]) for row in rows[:3]] == [p.score for p in done[:3]]
    details = json.loads((out / "predictions.json").read_text())
    assert details[0]["tracks"][0]["faces"][0].keys() == {"frame", "timestamp", "box", "score"}

    stub.sizes.clear()
    again = predict_files(stub.predictor, [*paths, paths[0]], out, resume=True)
    assert stub.sizes == [] and [p.score for p in again[:4]] == [p.score for p in done]
    other = dataclasses.replace(stub.predictor, threshold=0.9)
    with pytest.raises(ValueError, match=r"threshold: 0.5 before, 0.9 now"):
        predict_files(other, paths, out, resume=True)


def test_a_rerun_scores_what_had_an_error_and_what_changed(stub: Any, tmp_path: Path) -> None:
    names = ("same", "replaced", "truncated", "missing", "scored and gone")
    same, replaced, truncated, missing, gone = (str(tmp_path / f"{name}.jpg") for name in names)
    dark, bright = jpeg(moving_square(5)), jpeg(moving_square(60))
    for path in (same, replaced, gone):
        Path(path).write_bytes(dark)
    Path(truncated).write_bytes(bright[:40])
    paths, out = [same, replaced, truncated, missing, gone], tmp_path / "out"
    before = {p.input: p for p in predict_files(stub.predictor, paths, out)}
    assert before[truncated].error and before[missing].error
    for path in (replaced, truncated, missing):
        Path(path).write_bytes(bright)
    Path(gone).unlink()
    stub.sizes.clear()
    after = {p.input: p for p in predict_files(stub.predictor, paths, out, resume=True)}
    assert sum(stub.sizes) == sum(after[path].faces for path in (replaced, truncated, missing)) > 0
    assert after[same] == before[same] and after[gone] == before[gone]
    assert not any(p.error for p in after.values())
    assert after[replaced].score == after[truncated].score == after[missing].score
    assert after[replaced].score != before[replaced].score


def test_a_raised_limit_is_tried_again(stub: Any, tmp_path: Path) -> None:
    path, out = tmp_path / "a.jpg", tmp_path / "out"
    path.write_bytes(jpeg(moving_square(5)))
    low = dataclasses.replace(stub.predictor, limits=Limits(max_pixels=100))
    [refused] = predict_files(low, [str(path)], out)
    assert "--max_pixels" in refused.error
    [scored] = predict_files(stub.predictor, [str(path)], out, resume=True)
    assert scored.score is not None and not scored.error


def test_a_log_without_sizes_is_resumed(stub: Any, tmp_path: Path) -> None:
    path, out = tmp_path / "a.jpg", tmp_path / "out"
    path.write_bytes(jpeg(moving_square(5)))
    done = predict_files(stub.predictor, [str(path)], out)
    log = out / "predictions.jsonl"
    about, line = map(json.loads, log.read_text().splitlines())
    del line["size"], line["mtime_ns"]
    log.write_text(f"{json.dumps(about)}\n{json.dumps(line)}\n")
    stub.sizes.clear()
    assert predict_files(stub.predictor, [str(path)], out, resume=True) == done
    assert stub.sizes == []


def test_one_run_at_a_time_writes_to_a_folder(stub: Any, tmp_path: Path) -> None:
    path, out = tmp_path / "a.jpg", tmp_path / "out"
    path.write_bytes(jpeg(moving_square(5)))
    predict_files(stub.predictor, [str(path)], out)
    before = {file: file.read_bytes() for file in out.glob("predictions.*")}
    other = dataclasses.replace(stub.predictor, threshold=0.9)
    with locked(out), pytest.raises(InUseError, match=f"is in use by process {os.getpid()} on "):
        predict_files(other, [str(path)], out)
    assert {file: file.read_bytes() for file in out.glob("predictions.*")} == before


def test_an_interrupted_run_keeps_what_is_done(
    stub: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [str(write_clip(tmp_path / f"{i}.mp4", 8)) for i in range(4)]
    out = tmp_path / "out"
    from matnet_jax.predict.results import Log

    add = Log.add

    def interrupt(self: Any, prediction: Any) -> None:
        add(self, prediction)
        if len(self.done) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(Log, "add", interrupt)
    with pytest.raises(KeyboardInterrupt):
        predict_files(stub.predictor, paths, out)
    assert len(list(csv.DictReader((out / "predictions.csv").open()))) == 2
    with (out / "predictions.jsonl").open("a") as file:
        file.write('{"input": "cut o')  # killed in the middle of a line
    monkeypatch.setattr(Log, "add", add)
    before = len(stub.crops)
    assert len(predict_files(stub.predictor, paths, out, resume=True)) == 4
    assert 0 < len(stub.crops) - before < before + 8


def test_predictions_by_other_boxes_are_not_mixed(stub: Any, tmp_path: Path) -> None:
    paths = [str(write_clip(tmp_path / "a.mp4", 8))]
    one, other = (
        dataclasses.replace(stub.predictor, detector_weights=tmp_path / name)
        for name in ("one.onnx", "other.onnx")
    )
    predict_files(one, paths, tmp_path / "out")
    with pytest.raises(ValueError, match=r"detector_weights: .*one.onnx' before, .*other.onnx'"):
        predict_files(other, paths, tmp_path / "out", resume=True)
