"""The wheel alone, outside any checkout: every command, configs by name, files of phones."""

from __future__ import annotations

import csv
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
from test_packaging import build_wheel
from videos import moving_square, write_clip
from workdirs import tiny_config, workdir

from matnet_jax import cli


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the wheel holds, before every other in the path of Python."""
    folder = tmp_path_factory.mktemp("wheel")
    with zipfile.ZipFile(build_wheel(folder / "built")) as archive:
        archive.extractall(folder / "installed")
    shutil.rmtree(folder / "built")
    return folder / "installed"


def matnet(installed: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    elsewhere = installed.parent / "elsewhere"
    elsewhere.mkdir(exist_ok=True)
    return subprocess.run(
        [sys.executable, "-m", "matnet_jax", *arguments],
        cwd=elsewhere,
        env={**os.environ, "PYTHONPATH": str(installed), "MATNET_CACHE": str(elsewhere)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_info_is_the_wheel_s_own(installed: Path) -> None:
    done = matnet(installed, "info")
    assert done.returncode == 0 and not done.stderr, done.stderr
    for word in ("matnet:", "jax:", "devices:", "face detectors:", "media:", "weights:"):
        assert word in done.stdout
    where = subprocess.run(
        [sys.executable, "-c", "import matnet_jax; print(matnet_jax.__file__)"],
        env={**os.environ, "PYTHONPATH": str(installed)},
        cwd=installed.parent,
        capture_output=True,
        text=True,
        check=True,
    )
    assert Path(where.stdout.strip()).is_relative_to(installed)


def test_every_command_is_listed(installed: Path) -> None:
    done = matnet(installed, "--help")
    assert done.returncode == 0
    assert all(f"  {name} " in done.stdout for name in cli.COMMANDS.table)


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (("train", "--config=demo", "--config.trian.x=1"), 1, "the config has no field"),
        (("train", "--config=ffpp:meso4", "--config.data.dir="), 1, "config.data.dir is empty"),
        (("sweep", "--sweep=table6", "--list", "--embedded", "--config=demo"), 0, "runs: "),
    ],
)
def test_configs_and_sweeps_by_name(
    installed: Path, arguments: Any, status: Any, message: Any
) -> None:
    done = matnet(installed, *arguments, f"--workdir={installed.parent / 'run'}")
    said = done.stdout + done.stderr
    assert done.returncode == status and message in said and "Traceback" not in said, said


def test_a_phone_s_picture_and_film_have_scores(installed: Path, tmp_path: Path) -> None:
    from heif import heic

    run = workdir(tmp_path / "run", tiny_config())
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "photo.heic").write_bytes(heic(moving_square(9), tile=64))
    (tmp_path / "in" / "notes.txt").write_text("no media")
    write_clip(tmp_path / "in" / "clip.mov", 8)
    out = tmp_path / "out"
    done = matnet(
        installed,
        *("predict", str(tmp_path / "in"), f"--workdir={run}", f"--out={out}"),
        *("--detector=none", "--any_crops", "--batch_size=8", "--num_frames=2"),
    )
    assert done.returncode == 0, done.stderr
    with open(out / "predictions.csv", newline="") as file:
        rows = {Path(row["input"]).name: row for row in csv.DictReader(file)}
    assert rows["photo.heic"]["score"] and rows["clip.mov"]["score"]
    assert rows["notes.txt"]["skipped"] and not rows["notes.txt"]["error"]
    # Nothing of libraries, and no bar where there is no terminal.
    assert all(line.startswith(("engine: ", "predict: ")) for line in done.stderr.splitlines()), (
        done.stderr
    )
