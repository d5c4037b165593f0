"""Which files are scored, what is said of the others, and names of any bytes."""

from __future__ import annotations

import csv
import dataclasses
import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from videos import jpeg, moving_square, write_clip

from data_pipeline.detectors import Face
from data_pipeline.extract.crops import Settings
from data_pipeline.extract.limits import Limits
from matnet_jax.predict import Predictor
from matnet_jax.predict.files import overlay_name, predict_files, print_summary
from matnet_jax.predict.inputs import NoInputsError, find_inputs, shown
from matnet_jax.predict.network import Network


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def test_inputs_are_files_and_what_folders_hold(tmp_path: Path) -> None:
    touch(tmp_path, "b.mp4", "a.jpg", "notes.txt", ".hidden.mp4", "sub/c 'é'.mkv", ".git/x.png")
    touch(tmp_path, *(f"k.{ending}" for ending in ("tiff", "gif", "avif", "heic")))
    (tmp_path / "photo").write_bytes(jpeg(moving_square(1)))  # no ending, and yet a picture
    os.mkfifo(tmp_path / "pipe.mp4")
    (tmp_path / "gone.png").symlink_to(tmp_path / "nothing")
    (tmp_path / "linked").symlink_to(tmp_path / "sub")
    found = find_inputs([str(tmp_path), str(tmp_path / "b.mp4"), "named.txt"])
    names = {os.path.relpath(path, tmp_path): reason for path, reason in found.items()}
    assert [name for name, reason in names.items() if not reason] == [
        *("a.jpg", "b.mp4", "k.avif", "k.gif", "k.heic", "k.tiff", "photo", "sub/c 'é'.mkv"),
        os.path.relpath("named.txt", tmp_path),
    ]
    assert {name: reason for name, reason in names.items() if reason} == {
        ".git": "a hidden folder",
        ".hidden.mp4": "a hidden file",
        "gone.png": "a link to nothing",
        "linked": "a link to a folder",
        "notes.txt": "no picture or video by its first bytes or its ending",
        "pipe.mp4": "a named pipe, no file",
    }
    assert len(find_inputs([str(tmp_path)], only_media=True)) == 8
    touch(tmp_path, "empty/notes.txt")
    with pytest.raises(NoInputsError, match=r"holds no images or videos .*notes.txt: no picture"):
        find_inputs([str(tmp_path / "empty")])
    with pytest.raises(NoInputsError, match="takes files and folders"):
        find_inputs([])


def test_paths_are_shown_as_a_terminal_may_print_them() -> None:
    assert shown("ä b\udcff\n\x1b[31m.mp4") == r"ä b\udcff\n\x1b[31m.mp4"


class Everything:
    """The whole picture is one face."""

    def detect(self, image: np.ndarray) -> list[Face]:
        height, width = image.shape[:2]
        box = np.array([0, 0, width, height], np.float32)
        return [Face(box, np.zeros((5, 2), np.float32), 1.0)]


@pytest.fixture
def predictor(monkeypatch: pytest.MonkeyPatch) -> Predictor:
    monkeypatch.setattr(
        "matnet_jax.predict.predictor.create_detector", lambda name, weights: Everything()
    )
    network = Network(32, 4, {"step": 1}, lambda crops: (crops.mean((1, 2, 3)) / 255, {}))
    settings = Settings(num_frames=4, crop_size=32, faces="all", alignment="box", min_face=1)
    return Predictor(network, settings=settings, limits=Limits(max_pixels=100_000))


@pytest.mark.skipif(sys.platform == "darwin", reason="names are UTF-8 there")
def test_names_of_any_bytes_and_files_of_any_content(
    predictor: Predictor, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from test_kinds import bomb

    folder = tmp_path / "in"
    write_clip(folder / "good.mp4", 8)
    os.rename(folder / "good.mp4", os.fsencode(folder) + b"/\xff\xfe.mp4")
    (folder / "bomb.png").write_bytes(bomb(60_000))
    (folder / "line\nbreak.jpg").write_bytes(jpeg(moving_square(3)))
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(99))
    (folder / "readme.txt").write_text("no media")
    out = tmp_path / "out"
    done = predict_files(predictor, find_inputs([str(folder)]), out)
    with open(out / "predictions.csv", newline="", errors="surrogateescape") as file:
        rows = {os.path.basename(row["input"]): row for row in csv.DictReader(file)}
    assert len(rows) == len(done) == 5
    assert rows["\udcff\udcfe.mp4"]["score"] and rows["line\nbreak.jpg"]["score"]
    assert "60000 × 60000 pixels" in rows["bomb.png"]["error"]
    assert "damaged" in rows["broken.png"]["error"] and not rows["broken.png"]["skipped"]
    assert rows["readme.txt"]["skipped"] and not rows["readme.txt"]["error"]
    details = json.loads((out / "predictions.json").read_text(encoding="utf-8"))
    assert {entry["input"] for entry in details} == {p.input for p in done}

    assert print_summary(done, out) == 3
    said = capsys.readouterr()
    assert r"\udcff\udcfe.mp4" in said.out and "2 of 4 files scored" in said.out
    assert "left out: 1 × no picture or video" in said.out
    said.out.encode()  # anything prints

    again = predict_files(predictor, find_inputs([str(folder)]), out, resume=True)
    assert again == done
    assert print_summary([p for p in done if p.score is not None or p.skipped], out) == 0


def test_rows_are_there_as_they_come(predictor: Predictor, tmp_path: Path) -> None:
    paths = []
    for i in range(3):
        paths.append(str(tmp_path / f"{i}.jpg"))
        Path(paths[-1]).write_bytes(jpeg(moving_square(i)))
    out, seen = tmp_path / "out", []
    score = predictor.network.run

    def looked(crops: Any) -> Any:
        seen.append((out / "predictions.csv").read_text().count("\n"))
        return score(crops)

    object.__setattr__(predictor.network, "run", looked)
    object.__setattr__(predictor.network, "batch_size", 1)
    predict_files(dataclasses.replace(predictor, workers=1), paths, out)
    assert seen == [1, 2, 3]  # the header, and a row a file


def test_long_names_have_overlays_too() -> None:
    assert len(overlay_name("x" * 250 + ".mp4").encode()) < 120
    assert len(overlay_name("ü" * 120 + ".mp4").encode()) < 120
