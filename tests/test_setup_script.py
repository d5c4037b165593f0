"""`make setup`: what it says is missing, what an interrupted install leaves, when it does nothing.

The script runs for real, in a folder of its own, on a stand-in for Python whose `venv` makes
another stand-in; nothing is installed.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]

# Answers what the script asks; `refuse` names words of a command that then fails.
_PYTHON = """#!/bin/sh
here="$(dirname "$0")"
echo "$*" >>"{log}"
for word in $(cat "{refuse}" 2>/dev/null); do
  case "$*" in *"$word"*) exit 1 ;; esac
done
case "$*" in
  *"-m venv"*) mkdir -p .venv/bin && cp "$0" .venv/bin/python ;;
  --version) echo "Python 3.13.5" ;;
esac
"""


class Checkout:
    """A folder with the files that the script reads, and a stand-in for python3.11."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for name in ("setup.cfg", "pyproject.toml", "constraints.txt", "tools/setup.sh"):
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, root / name)
        self.log = root / "log"
        self.python = root / "stand-in" / "python3.11"
        self.python.parent.mkdir()
        self.python.write_text(_PYTHON.format(log=self.log, refuse=root / "refuse"))
        self.python.chmod(0o755)
        self.stamp = root / ".venv" / ".installed"

    def refuse(self, *words: str) -> None:
        (self.root / "refuse").write_text(" ".join(words))

    def setup(self, **env: str) -> tuple[int, str, list[str]]:
        """-> status, what it printed, the commands it gave to Python."""
        self.log.write_text("")
        done = subprocess.run(
            [self.root / "tools/setup.sh"],
            env={"PATH": os.environ["PATH"], "PYTHON": str(self.python), **env},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        return done.returncode, done.stdout + done.stderr, self.log.read_text().split("\n")


@pytest.fixture
def checkout(tmp_path: Path) -> Any:
    return Checkout(tmp_path)


def test_installs_once(checkout: Any) -> None:
    status, said, commands = checkout.setup()
    assert status == 0, said
    assert checkout.stamp.exists()
    (install,) = [command for command in commands if "--editable" in command]
    assert "--constraint constraints.txt" in install and install.endswith(".[test,video]")
    assert checkout.setup() == (0, "", [""])


@pytest.mark.parametrize("name", ["setup.cfg", "pyproject.toml", "constraints.txt"])
def test_installs_again_when_a_file_that_decides_changes(checkout: Any, name: Any) -> None:
    checkout.setup()
    with open(checkout.root / name, "a") as file:
        file.write("\n")
    status, _, commands = checkout.setup()
    assert status == 0
    assert any("--editable" in command for command in commands)
    assert not any("-m venv" in command for command in commands), ".venv is kept"


def test_extras_stay_until_others_are_named(checkout: Any) -> None:
    checkout.setup(EXTRAS="test,torch")
    assert checkout.setup() == (0, "", [""])
    _, said, _ = checkout.setup(EXTRAS="test")
    assert "installing into .venv: test " in said


def test_a_failed_install_leaves_no_stamp_and_is_made_from_new(checkout: Any) -> None:
    checkout.setup()
    (checkout.root / "constraints.txt").write_text("numpy==1\n")
    checkout.refuse("--editable")
    status, said, _ = checkout.setup()
    assert status == 1 and "pip could not install" in said
    assert not checkout.stamp.exists()
    checkout.refuse()
    status, _, commands = checkout.setup()
    assert status == 0 and checkout.stamp.exists()
    assert any("-m venv --clear" in command for command in commands)


def test_says_which_packages_are_missing_and_how_to_get_them(checkout: Any) -> None:
    checkout.refuse("ensurepip", "libGL", "libglib")
    status, said, _ = checkout.setup()
    assert status == 1
    assert "apt-get install python3-venv libgl1 libglib2.0-0\n" in said
    assert not (checkout.root / ".venv").exists()


def test_names_the_python_it_found(checkout: Any) -> None:
    checkout.refuse("version_info")
    status, said, _ = checkout.setup()
    assert status == 1
    assert "Python 3.11 to 3.13 is wanted" in said and "Python 3.13.5" in said


def test_asks_for_python_where_there_is_none(checkout: Any) -> None:
    checkout.python.unlink()
    status, said, _ = checkout.setup()
    assert status == 1
    assert "apt-get install python3 python3-venv" in said
