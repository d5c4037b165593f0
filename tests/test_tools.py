"""`tools/debian.sh` and `tools/wheel.sh`: what they refuse, and how they say it. Neither runs."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]


def said(tool: str, *arguments: str, **env: str) -> tuple[int, str]:
    done = subprocess.run(
        [ROOT / "tools" / tool, *arguments],
        env={"PATH": os.environ["PATH"], **env},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "Debian 12 or 13 is wanted, not ''"),
        (("11", "demo"), "Debian 12 or 13 is wanted, not '11'"),
        (("13",), "demo, test or wheel is wanted, not ''"),
        (("13", "clean"), "demo, test or wheel is wanted, not 'clean'"),
        (("13", "wheel", "EXTRAS=test"), "wheel takes no arguments, and got: EXTRAS=test"),
    ],
)
def test_debian_says_what_it_wants(arguments: Any, message: str) -> None:
    status, output = said("debian.sh", *arguments)
    assert status == 1
    assert message in output and "usage: tools/debian.sh 12|13 demo|test|wheel" in output


def test_debian_touches_no_folder_that_it_did_not_make(tmp_path: Path) -> None:
    for root, message in (
        (tmp_path, "no Debian 13 that this script finished"),
        (Path("relative"), "ROOT is to be a whole path, not 'relative'"),
        (Path("/"), "ROOT is to be a whole path, not '/'"),
    ):
        status, output = said("debian.sh", "13", "demo", ROOT=str(root))
        assert status == 1 and message in output
    (tmp_path / "var/lib").mkdir(parents=True)
    (tmp_path / "var/lib/made-by-matnet").write_text("bookworm\n")
    status, output = said("debian.sh", "13", "demo", ROOT=str(tmp_path))
    assert status == 1 and "Remove it, or name another folder: ROOT=/path" in output
    assert os.listdir(tmp_path) == ["var"]


def test_debian_installs_what_readme_says(tmp_path: Path) -> None:
    """The line that it types stands there once; where there is none it says so."""
    lines = (ROOT / "README.md").read_text().splitlines()
    [line] = [line for line in lines if line.startswith("apt-get install ")]
    assert {"make", "python3-venv"} <= set(line.split("#")[0].split())
    (tmp_path / "tools").mkdir()
    tool = shutil.copy(ROOT / "tools/debian.sh", tmp_path / "tools")
    (tmp_path / "README.md").write_text("# Nothing\n")
    status, output = said(tool, "13", "demo", ROOT=str(tmp_path / "root"))
    assert status == 1 and "README.md has no line 'apt-get install PACKAGE …'" in output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("install", "a", "b"), "at most one folder is wanted, and got: a b"),
        (("check",), "check wants the folder that install filled"),
    ],
)
def test_wheel_says_what_it_wants(arguments: Any, message: str) -> None:
    status, output = said("wheel.sh", *arguments)
    assert status == 1
    assert message in output and "usage: tools/wheel.sh [install|check] [FOLDER]" in output


def test_wheel_checks_only_what_it_installed(tmp_path: Path) -> None:
    status, output = said("wheel.sh", "check", str(tmp_path))
    assert status == 1 and f"holds no installed wheel: tools/wheel.sh install {tmp_path}" in output
